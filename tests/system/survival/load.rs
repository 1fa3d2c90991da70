//! Clients that retry every call until it succeeds: everything that was answered is done, once.

use std::{net::SocketAddr, time::Duration};

use teppan_shared::contract::conversation::v1::{Emotion, StoreMessageRequest};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// One client, which chats and books after every fourth message until it is stopped.
pub async fn client(
    index: usize,
    booking: SocketAddr,
    conversation: SocketAddr,
    venue_id: &str,
    stop: &CancellationToken,
) -> usize {
    let (bookings, conversations) = (BookingClients::new(booking).bookings, clients::conversations(conversation));
    // Some conversations have one writer, some several.
    let chat = format!("survival-{}", index % 5);
    let mut booked = 0;
    for turn in 1.. {
        let message = scored(&chat, turn * 37 % 1000);
        until_answered(async || conversations.clone().store_message(message.clone()).await).await;
        if turn % 4 == 0 {
            let booking = fixtures::booking(venue_id, 1);
            until_answered(async || bookings.clone().create_booking(booking.clone()).await).await;
            booked += 1;
        }
        if stop.is_cancelled() {
            break;
        }
    }
    booked
}

fn scored(chat: &str, thousandths: u16) -> StoreMessageRequest {
    let emotion = Emotion { score: Some(f64::from(thousandths) / 1000.0), ..Default::default() };
    StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(chat, "Hello") }
}

/// Repeats the same call until it succeeds.
async fn until_answered<T>(call: impl AsyncFn() -> Result<Response<T>, Status>) {
    while call().await.is_err() {
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}
