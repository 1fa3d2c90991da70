//! Reads everything back through the API and compares it with the plan.

use std::sync::Arc;

use crate::{Run, concurrently, play::Played, progress::Progress};

mod background;
mod bookings;
mod messages;
mod seats;

pub use self::{background::Background, bookings::Bookings, messages::Messages, seats::Seats};

/// The counts of each check, and the differences.
#[derive(Debug, Default)]
pub struct Verdict {
    pub messages: Messages,
    pub bookings: Bookings,
    pub seats: Seats,
    pub background: Background,
    /// Each difference names its conversation, booking or venue by id. None contains text of a dialogue.
    pub differences: Vec<String>,
}

impl Verdict {
    /// Whether everything is stored once and as it was sent.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Reads back every conversation, every booking and the seats of every venue.
pub async fn all(run: &Run, venue_ids: &Arc<Vec<String>>, played: &[Played]) -> Verdict {
    let pieces = 2 * run.plan.dialogues.len() + run.plan.bookings.len() + run.plan.venues.len();
    let progress = Progress::start("Reading everything back", pieces);
    let mut verdict = Verdict::default();

    let found = concurrently::each(run.plan.dialogues.len(), run.concurrency, |index| {
        messages::check(run.caller.clone(), run.connections.of(index), Arc::clone(&run.plan), progress.clone(), index)
    });
    for (counts, differences) in found.await {
        verdict.messages.add(&counts);
        verdict.differences.extend(differences);
    }

    let found = concurrently::each(run.plan.bookings.len(), run.concurrency, |index| {
        let expected = bookings::expected(&run.plan, index, venue_ids, played[index].booking_id.clone());
        bookings::check(run.caller.clone(), run.connections.of(index), expected, progress.clone())
    });
    for (counts, differences) in found.await {
        verdict.bookings.add(&counts);
        verdict.differences.extend(differences);
    }
    bookings::none_is_shared(played, &mut verdict);

    let found = concurrently::each(run.plan.venues.len(), run.concurrency, |index| {
        let venue_id = venue_ids[index].clone();
        let (caller, clients) = (run.caller.clone(), run.connections.of(index));
        seats::check(caller, clients, Arc::clone(&run.plan), progress.clone(), (index, venue_id))
    });
    for (counts, differences) in found.await {
        verdict.seats.add(&counts);
        verdict.differences.extend(differences);
    }

    let found = concurrently::each(run.plan.dialogues.len(), run.concurrency, |index| {
        let (caller, clients) = (run.caller.clone(), run.connections.of(index));
        let booking_id = played[index].booking_id.clone();
        background::check(caller, clients, Arc::clone(&run.plan), progress.clone(), index, booking_id)
    });
    for (counts, differences) in found.await {
        verdict.background.add(&counts);
        verdict.differences.extend(differences);
    }
    progress.finish();
    verdict
}
