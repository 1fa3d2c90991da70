//! conversation-service is unavailable while bookings are made, and becomes available.

use std::net::{SocketAddr, TcpListener};

use futures::{StreamExt as _, stream};
use teppan_shared::keys::Keys;
use teppan_tests::harness::{Booking, Conversation, booking_settings, settings};

use super::*;

const BOOKINGS: usize = 1000;
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_bookings_made_while_conversation_service_is_unavailable_get_their_follow_ups_when_it_is_available()
{
    let address = free_address();
    let (url, keys) = (harness::database(&booking_service::app::DEFINITION).await, Keys::random());
    let mut with = booking_settings(settings(url.clone(), &keys));
    with.outbox.relay.relays = 2;
    with.outbox.conversation_service_url = format!("http://{address}").parse().expect("a URL");
    let mut booking = Booking::configured(with, url, keys).await.ready().await;
    let venue = fixtures::venue_with(&mut booking.clients, SEATS, |venue| venue.deposit_percent = Some(0)).await;
    let venue_id = venue.expect("a venue").venue_id;
    let booked = stream::iter(0..BOOKINGS).map(|_| {
        let (mut bookings, request) = (booking.clients.bookings.clone(), fixtures::booking(&venue_id, 1));
        async move { bookings.create_booking(request).await.expect("booked") }
    });
    assert_eq!(booked.buffer_unordered(AT_ONCE).count().await, BOOKINGS);
    assert_eq!(booking.scalar::<i64>("SELECT count(*) FROM outbox_messages WHERE dead_at IS NOT NULL").await, 0);

    let (url, keys) = (harness::database(&conversation_service::app::DEFINITION).await, Keys::random());
    let mut back = settings(url.clone(), &keys);
    back.server.listen_addr = address;
    let conversation = Conversation::with(back, url, keys).await.ready().await;
    // After this many refusals the relay tries again after at most half a minute.
    every_booking_has_one_follow_up(BOOKINGS, &booking.url, &conversation.url).await;
    booking.service.stop().await;
    conversation.service.stop().await;
}

/// An address at which nothing listens yet.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("the listener is bound")
}
