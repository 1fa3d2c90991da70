//! Clients that repeat a call until it is acknowledged.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::Acknowledged;

const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// The time for which an orchestrator waits for an answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// One client, which sends messages and books until it is stopped.
pub async fn client(
    index: usize,
    booking: SocketAddr,
    conversation: SocketAddr,
    venue_id: &str,
    acknowledged: &Acknowledged,
    stop: &CancellationToken,
) {
    let (bookings, conversations) = (BookingClients::new(booking).bookings, clients::conversations(conversation));
    let chat = format!("failover-{index}");
    while !stop.is_cancelled() {
        let message = fixtures::message(&chat, "A table for one, please.");
        let (_, made) = until_acknowledged(async |deadline| {
            conversations.clone().store_message(with(message.clone(), deadline)).await
        })
        .await;
        acknowledged.message(message.message_id, made);
        let request = fixtures::booking(venue_id, 1);
        let (answer, made) =
            until_acknowledged(async |deadline| bookings.clone().create_booking(with(request.clone(), deadline)).await)
                .await;
        acknowledged.booking(answer.booking.unwrap_or_default().booking_id, made);
    }
}

fn with<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// Repeats the same call until it succeeds. Returns the answer, and the time of the successful attempt.
async fn until_acknowledged<T>(call: impl AsyncFn(Duration) -> Result<Response<T>, Status>) -> (T, Instant) {
    loop {
        let made = Instant::now();
        match call(DEADLINE).await {
            Ok(answer) => return (answer.into_inner(), made),
            Err(_) => tokio::time::sleep(RETRY_INTERVAL).await,
        }
    }
}
