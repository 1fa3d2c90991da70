use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// What clients were told that it is done.
#[derive(Default)]
pub struct Acknowledged(Mutex<Told>);

#[derive(Default)]
struct Told {
    bookings: BTreeSet<String>,
    messages: BTreeSet<String>,
    /// When calls were acknowledged, each with when it was made.
    booked: Vec<(Instant, Instant)>,
    stored: Vec<(Instant, Instant)>,
}

impl Acknowledged {
    /// # Panics
    /// When another call was told of the same booking.
    pub fn booking(&self, booking_id: String, made: Instant) {
        let mut told = self.lock();
        told.booked.push((made, Instant::now()));
        assert!(told.bookings.insert(booking_id), "a booking of two calls");
    }

    pub fn message(&self, message_id: String, made: Instant) {
        let mut told = self.lock();
        told.stored.push((made, Instant::now()));
        told.messages.insert(message_id);
    }

    /// When a booking and a message had been acknowledged whose calls were made after this moment.
    pub fn both_since(&self, since: Instant) -> Option<Instant> {
        let told = self.lock();
        let first = |calls: &[(Instant, Instant)]| {
            // The newest are at the end.
            calls
                .iter()
                .rev()
                .take_while(|(_, told)| *told >= since)
                .filter(|(made, _)| *made >= since)
                .map(|c| c.1)
                .min()
        };
        Some(first(&told.booked)?.max(first(&told.stored)?))
    }

    pub fn counts(&self) -> (usize, usize) {
        let told = self.lock();
        (told.bookings.len(), told.messages.len())
    }

    pub fn bookings(&self) -> BTreeSet<String> {
        self.lock().bookings.clone()
    }

    pub fn messages(&self) -> BTreeSet<String> {
        self.lock().messages.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
