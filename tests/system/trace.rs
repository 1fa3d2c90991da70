use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use teppan_shared::contract::conversation::v1::{Channel, ClaimDueFollowUpsRequest, CompleteFollowUpRequest};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
    harness::{self, Booking, Conversation},
    launch::{Process, Which},
    otlp::{Received, Receiver},
};

use crate::{environment, follow_ups};

pub const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

pub fn traced<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("a header value"));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_is_kept_with_the_booking_event_and_its_messages() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::firm_venue(&mut booking.clients, 10).await.expect("a venue");
    booking.clients.bookings.create_booking(traced(fixtures::booking(&venue.venue_id, 2))).await.expect("booked");
    for query in
        ["SELECT traceparent FROM booking_events", "SELECT string_agg(DISTINCT traceparent, ' ') FROM outbox_messages"]
    {
        let kept: String = booking.scalar(query).await;
        let parts: Vec<_> = kept.split('-').collect();
        assert_eq!((parts[0], parts[1], parts.len()), ("00", TRACE_ID, 4), "{query}: {kept}");
        assert_ne!(parts[2], "00f067aa0ba902b7", "the span is the service's own, a child of the caller's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_is_kept_with_the_message() {
    let mut conversation = Conversation::start().await.ready().await;
    let message = fixtures::message(&fixtures::conversation_id(), "Hello");
    conversation.client.store_message(traced(message)).await.expect("stored");
    let kept: String = conversation.scalar("SELECT traceparent FROM messages").await;
    assert!(kept.contains(TRACE_ID), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_message_to_the_run_that_counts_it() {
    let receiver = Receiver::start().await;
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let environment: HashMap<_, _> = environment::with_keys(&url).chain(environment::traced(&receiver)).collect();
    let process = Process::start(Which::Conversation, &environment).await.expect("the process starts");
    let mut client = clients::conversations(process.grpc);
    let message = fixtures::message(&fixtures::conversation_id(), "Hello");
    harness::eventually("the message is stored", async || client.store_message(traced(message.clone())).await.is_ok())
        .await;
    harness::eventually("both spans arrive", async || {
        let spans = receiver.spans();
        let stored = spans.iter().find(|it| it.span.name.ends_with("StoreMessage") && it.trace_id() == TRACE_ID);
        let counted = spans.iter().find(|it| it.span.name == "aggregate emotions" && it.is_linked_to(TRACE_ID));
        let (Some(stored), Some(counted)) = (stored, counted) else { return false };
        assert_eq!((stored.service.as_str(), stored.span.kind()), ("conversation-service", SpanKind::Server));
        counted.span.links.iter().any(|link| link.span_id == stored.span.span_id)
    })
    .await;
    assert!(process.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_is_kept_with_the_follow_up() {
    let mut conversation = Conversation::start().await.ready().await;
    let request = follow_ups::request(&fixtures::conversation_id());
    conversation.follow_ups.schedule_follow_up(request.clone()).await.expect("scheduled");
    let moving = follow_ups::moving(&request, "2030-02-01T12:00:00Z");
    conversation.follow_ups.schedule_follow_up(traced(moving)).await.expect("moved");
    let kept: String = conversation.scalar("SELECT traceparent FROM follow_ups").await;
    assert!(kept.contains(TRACE_ID), "the kept trace is that of the call that moved the follow-up: {kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_booking_through_the_relay_to_the_follow_up_and_its_dispatch_weeks_later() {
    const WEEKS_SECONDS: u64 = 21 * 24 * 60 * 60;
    let receiver = Receiver::start().await;
    let conversation_url = harness::database(&conversation_service::app::DEFINITION).await;
    let of_conversation: HashMap<_, _> =
        environment::with_keys(&conversation_url).chain(environment::traced(&receiver)).collect();
    let conversation = Process::start(Which::Conversation, &of_conversation).await.expect("the process starts");
    let booking_url = harness::database(&booking_service::app::DEFINITION).await;
    let mut of_booking: HashMap<_, _> =
        environment::with_keys(&booking_url).chain(environment::traced(&receiver)).collect();
    of_booking.insert("CONVERSATION_SERVICE_URL".to_owned(), format!("http://{}", conversation.grpc));
    of_booking.insert("OUTBOX_RELAYS".to_owned(), "1".to_owned());
    let booking = Process::start(Which::Booking, &of_booking).await.expect("the process starts");

    let mut clients = BookingClients::new(booking.grpc);
    let mut venue_id = None;
    harness::eventually("booking-service is ready", async || {
        let venue = fixtures::venue_with(&mut clients, 10, |venue| venue.deposit_percent = Some(0)).await;
        venue_id = venue.ok().map(|venue| venue.venue_id);
        venue_id.is_some()
    })
    .await;
    let request = fixtures::booking(&venue_id.expect("a venue"), 2);
    clients.bookings.create_booking(traced(request)).await.expect("booked");
    harness::eventually("the follow-up is scheduled", async || {
        harness::scalar::<i64>(&conversation_url, "SELECT count(*) FROM follow_ups").await == 1
    })
    .await;

    let mut later = of_conversation.clone();
    later.insert("CLOCK_AHEAD_SECONDS".to_owned(), WEEKS_SECONDS.to_string());
    // This process may start at night, or at a time so late that the follow-up counts as missed.
    later.insert("FOLLOW_UP_SENDING_HOURS".to_owned(), "00:00-24:00".to_owned());
    later.insert("FOLLOW_UP_MISSED_AFTER_HOURS".to_owned(), "8784".to_owned());
    let later = Process::start(Which::Conversation, &later).await.expect("the process starts");
    let mut follow_ups = clients::follow_ups(later.grpc);
    let claim = ClaimDueFollowUpsRequest { claimant: "test".to_owned(), wait_seconds: 1, ..Default::default() };
    let mut claimed = Vec::new();
    harness::eventually("the follow-up is claimed", async || {
        let answer = follow_ups.claim_due_follow_ups(claim.clone()).await;
        claimed = answer.map(|answer| answer.into_inner().follow_ups).unwrap_or_default();
        !claimed.is_empty()
    })
    .await;
    let completion =
        CompleteFollowUpRequest { channel: Channel::Web.into(), ..crate::dispatch::fixture::completion(&claimed[0]) };
    follow_ups.complete_follow_up(completion).await.expect("completed");

    harness::eventually("every span of the trace arrives", async || {
        let spans = receiver.spans();
        let own = |service: &str, name: &str| -> Option<Received> {
            let is_it =
                |it: &&Received| it.service == service && it.span.name.ends_with(name) && it.trace_id() == TRACE_ID;
            spans.iter().find(is_it).cloned()
        };
        let linked = |name: &str| spans.iter().any(|it| it.span.name.ends_with(name) && it.is_linked_to(TRACE_ID));
        let Some(created) = own("booking-service", "CreateBooking") else { return false };
        let Some(delivered) = own("booking-service", "deliver to conversation-service") else { return false };
        let Some(scheduled) = own("conversation-service", "ScheduleFollowUp") else { return false };
        assert_eq!(delivered.span.parent_span_id, created.span.span_id);
        assert_eq!(scheduled.span.parent_span_id, delivered.span.span_id);
        linked("ClaimDueFollowUps") && linked("CompleteFollowUp")
    })
    .await;
    for process in [later, booking, conversation] {
        assert!(process.stop().await);
    }
}
