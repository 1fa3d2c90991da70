use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// The bookings and messages that were acknowledged to clients.
#[derive(Default)]
pub struct Acknowledged(Mutex<Calls>);

#[derive(Default)]
struct Calls {
    bookings: BTreeSet<String>,
    messages: BTreeSet<String>,
    /// The times of the acknowledgements, each with the time of its call.
    booked: Vec<(Instant, Instant)>,
    stored: Vec<(Instant, Instant)>,
}

impl Acknowledged {
    /// # Panics
    /// When another call was acknowledged with the same booking.
    pub fn booking(&self, booking_id: String, made: Instant) {
        let mut calls = self.lock();
        calls.booked.push((made, Instant::now()));
        assert!(calls.bookings.insert(booking_id), "two calls got the same booking");
    }

    pub fn message(&self, message_id: String, made: Instant) {
        let mut calls = self.lock();
        calls.stored.push((made, Instant::now()));
        calls.messages.insert(message_id);
    }

    /// When both a booking and a message had been acknowledged for calls made after this moment.
    pub fn both_since(&self, since: Instant) -> Option<Instant> {
        let calls = self.lock();
        let first = |calls: &[(Instant, Instant)]| {
            // The newest acknowledgements are at the end.
            calls
                .iter()
                .rev()
                .take_while(|(_, acknowledged)| *acknowledged >= since)
                .filter(|(made, _)| *made >= since)
                .map(|c| c.1)
                .min()
        };
        Some(first(&calls.booked)?.max(first(&calls.stored)?))
    }

    pub fn counts(&self) -> (usize, usize) {
        let calls = self.lock();
        (calls.bookings.len(), calls.messages.len())
    }

    pub fn bookings(&self) -> BTreeSet<String> {
        self.lock().bookings.clone()
    }

    pub fn messages(&self) -> BTreeSet<String> {
        self.lock().messages.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
