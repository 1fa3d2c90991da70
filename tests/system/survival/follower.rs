//! A reader of the event stream that resumes from its last cursor at any replica.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use teppan_shared::contract::booking::v1::BookingEvent;
use teppan_tests::clients::BookingClients;

use crate::event_stream::readers::{after, following};

const RETRY_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Default)]
pub struct Follower(Mutex<Read>);

#[derive(Default)]
struct Read {
    events: Vec<BookingEvent>,
    cursor: String,
}

impl Follower {
    /// Follows for ever, at each replica in turn. Dropping the future keeps what was read.
    pub async fn follow(&self, replicas: &[(SocketAddr, SocketAddr)]) {
        for (booking, _) in replicas.iter().cycle() {
            let request = following(after(&self.read(|read| read.cursor.clone())));
            let stream = BookingClients::new(*booking).bookings.stream_booking_events(request).await;
            if let Ok(stream) = stream {
                let mut steps = stream.into_inner();
                while let Ok(Some(step)) = steps.message().await {
                    self.read(|read| {
                        read.events.extend(step.event);
                        read.cursor = step.cursor;
                    });
                }
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    pub fn count(&self) -> usize {
        self.read(|read| read.events.len())
    }

    pub fn events(&self) -> Vec<BookingEvent> {
        self.read(|read| read.events.clone())
    }

    fn read<T>(&self, look: impl FnOnce(&mut Read) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
