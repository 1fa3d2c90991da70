//! TLS from booking-service to conversation-service.

use std::path::PathBuf;

use booking_service::settings::OutboxSettings;
use teppan_shared::{outbox::RelaySettings, reloaded::NamedFile, tls::ClientTlsSettings};
use teppan_tests::{fixtures, harness::Booking};

use super::*;

/// A booking-service with these files that delivers to conversation-service at this address.
async fn booking(server: SocketAddr, client: &Mounted) -> Booking {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::booking_settings(harness::settings(url.clone(), &keys));
    let file = |setting, path: PathBuf| NamedFile { setting, path };
    settings.outbox = OutboxSettings {
        conversation_service_url: format!("https://{server}").parse().expect("a URL"),
        conversation_service_tls: ClientTlsSettings {
            authorities: Some(file("CONVERSATION_SERVICE_CA_FILE", client.authorities())),
            pair: Some((
                file("CONVERSATION_SERVICE_CERTIFICATE_FILE", client.certificate()),
                file("CONVERSATION_SERVICE_KEY_FILE", client.key()),
            )),
        },
        relay: RelaySettings { interval: Duration::from_millis(50), ..RelaySettings::default() },
        ..OutboxSettings::default()
    };
    Booking::configured(settings, url, keys).await.ready().await
}

async fn book(booking: &Booking) {
    let mut clients = booking.clients.clone();
    let venue = fixtures::firm_venue(&mut clients, 10).await.expect("a venue");
    let mut request = fixtures::booking(&venue.venue_id, 1);
    request.conversation_id = fixtures::conversation_id();
    clients.bookings.create_booking(request).await.expect("booked");
}

async fn waiting(booking: &Booking) -> i64 {
    booking.scalar("SELECT count(*) FROM outbox_messages").await
}

/// Whether a delivery failed. An attempt against an unavailable destination does not count, so `attempts` is 0 again.
async fn failed(booking: &Booking) -> bool {
    booking.scalar("SELECT coalesce(bool_or(last_error_reason <> ''), false) FROM outbox_messages").await
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_are_scheduled_over_mutual_tls_and_replaced_files_are_reloaded() {
    let (authority, mounted) = authority_and_server();
    let conversation = conversation(&mounted, Some(ClientCertificates::Required), |_| {}).await;
    let untrusted = Authority::new("another authority");
    // The first certificate is one that conversation-service does not accept.
    let mut client = Mounted::new(&untrusted.client("booking-service"), &authority.pem());
    let booking = booking(conversation.service.server.grpc_addr, &client).await;
    book(&booking).await;
    harness::eventually("a delivery failed", async || failed(&booking).await).await;
    assert_eq!(waiting(&booking).await, 1);
    client.replace(&authority.client("booking-service"), &authority.pem());
    harness::eventually("the message is delivered", async || waiting(&booking).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new("test authority");
    let mut mounted = Mounted::new(&authority.issue(&["conversation.example.org"]), &authority.pem());
    let conversation = conversation(&mounted, None, |_| {}).await;
    let client = Mounted::new(&authority.client("booking-service"), &authority.pem());
    let booking = booking(conversation.service.server.grpc_addr, &client).await;
    book(&booking).await;
    harness::eventually("a delivery failed", async || failed(&booking).await).await;
    assert_eq!(waiting(&booking).await, 1);
    mounted.replace(&authority.server(), &authority.pem());
    harness::eventually("the message is delivered", async || waiting(&booking).await == 0).await;
}
