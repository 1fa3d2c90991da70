//! booking-service calls conversation-service with its own token.

use std::fs;

use booking_service::settings::OutboxSettings;
use teppan_shared::{
    config::Problems,
    contract::booking::v1::CreateBookingRequest,
    identity::{OutgoingToken, Role},
    keys::Keys,
    outbox::RelaySettings,
};
use teppan_tests::{callers::Callers, fixtures, harness::eventually};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_are_not_scheduled_until_the_token_file_has_a_valid_token() {
    let callers = Callers::default();
    let conversation = conversation(|settings| callers.guard(settings)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "teppan_made-up").expect("written");
    let mut problems = Problems::default();
    let token = OutgoingToken::parse(("TOKEN", None), ("TOKEN_FILE", Some(&file)), &mut problems);
    let address = conversation.service.server.grpc_addr;

    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let common = harness::settings(url.clone(), &keys);
    let mut booking = Booking::changed(
        |settings| {
            settings.outbox = OutboxSettings {
                conversation_service_url: format!("http://{address}").parse().expect("a URL"),
                conversation_service_token: token.expect("the token file is valid"),
                relay: RelaySettings { relays: 1, ..settings.outbox.relay.clone() },
                ..settings.outbox.clone()
            };
        },
        common,
        url,
        keys,
    )
    .await
    .ready()
    .await;
    let venue = fixtures::firm_venue(&mut booking.clients, 4).await.expect("a venue");
    let booked =
        CreateBookingRequest { conversation_id: fixtures::conversation_id(), ..fixtures::booking(&venue.venue_id, 2) };
    booking.clients.bookings.create_booking(booked).await.expect("booked");
    let count = "SELECT count(*) FROM follow_ups";
    eventually("delivery is tried", async || {
        booking.scalar::<Option<i64>>("SELECT max(claims) FROM outbox_messages").await > Some(0)
    })
    .await;
    assert_eq!(conversation.scalar::<i64>(count).await, 0);
    fs::write(&file, callers.token(Role::Orchestrator)).expect("written");
    eventually("the follow-up is scheduled", async || conversation.scalar::<i64>(count).await == 1).await;
}
