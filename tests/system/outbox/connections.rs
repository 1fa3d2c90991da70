//! Relays with few connections to the database.

use std::time::Duration;

use booking_service::settings::OutboxSettings;
use teppan_shared::outbox::RelaySettings;
use teppan_tests::harness::{self, Booking};

use super::{
    receiver::Receiver,
    stage::{book, quiet, waiting},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_for_the_claims_and_the_records_of_a_relay() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    book(&service, &venue, 300).await;
    let mut settings = harness::booking_settings(harness::settings(service.url.clone(), &service.keys));
    settings.common.database_limits.max_connections = 1;
    // If a record had to wait for the connection of its own claim, the test would time out.
    settings.common.database_limits.acquire_timeout = Duration::from_mins(5);
    settings.outbox = OutboxSettings {
        conversation_service_url: format!("http://{}", listening.address).parse().expect("a URL"),
        relay: RelaySettings { relays: 1, per_second_max: 5000, ..RelaySettings::default() },
        ..OutboxSettings::default()
    };
    let relay = Booking::configured(settings, service.url.clone(), service.keys.clone()).await.ready().await;
    harness::within(Duration::from_mins(1), "all are delivered", async || waiting(&service).await == 0).await;
    relay.service.stop().await;
}
