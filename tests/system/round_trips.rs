use teppan_shared::keys::Keys;
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation},
    proxy::Proxy,
};

/// Readiness asks too, twice a second: the fewest of several counts are those of the call alone.
const TRIES: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_create_booking_costs_one_round_trip() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let mut booking = Booking::over(harness::through(&url, proxy.address), Keys::random()).await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 100).await.expect("a venue");
    booking.clients.bookings.create_booking(fixtures::booking(&venue.venue_id, 1)).await.expect("warm");

    let mut counts = Vec::new();
    for _ in 0..TRIES {
        let request = fixtures::booking(&venue.venue_id, 1);
        let before = proxy.round_trips();
        booking.clients.bookings.create_booking(request.clone()).await.expect("booked");
        let made = proxy.round_trips() - before;
        let before = proxy.round_trips();
        booking.clients.bookings.create_booking(request).await.expect("replayed");
        counts.push((made, proxy.round_trips() - before));
    }
    assert_eq!(counts.iter().map(|(made, _)| *made).min(), Some(1), "{counts:?}");
    assert_eq!(counts.iter().map(|(_, replayed)| *replayed).min(), Some(1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_store_message_costs_one_round_trip() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let mut conversation =
        Conversation::over(harness::through(&url, proxy.address), Keys::random()).await.ready().await;
    let chat = fixtures::conversation_id();
    conversation.client.store_message(fixtures::message(&chat, "Hello")).await.expect("warm");

    let mut counts = Vec::new();
    for _ in 0..TRIES {
        let message = fixtures::message(&chat, "Is there a table?");
        let before = proxy.round_trips();
        conversation.client.store_message(message.clone()).await.expect("stored");
        let stored = proxy.round_trips() - before;
        let before = proxy.round_trips();
        conversation.client.store_message(message).await.expect("replayed");
        counts.push((stored, proxy.round_trips() - before));
    }
    assert_eq!(counts.iter().map(|(stored, _)| *stored).min(), Some(1), "{counts:?}");
    assert_eq!(counts.iter().map(|(_, replayed)| *replayed).min(), Some(1), "{counts:?}");
}
