//! One look at everything, page by page, and what is repaired after it.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CommandError, progress::Progress};
use crate::{
    domain::SlotKey,
    verification::Verification,
    verification::bookings::{VerifiedBooking, VerifyScope},
    verification::finding::Finding,
    verification::repair::Swapped,
    verification::slots::Miscount,
};

/// Bookings in the wrong slot, and slots of bookings that cannot be derived, are kept in memory up to here.
const REMEMBERED_MAX: usize = 10_000;

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Sound,
    Found,
    NoSuchBooking,
    Interrupted,
}

/// A look at everything in its scope. Memory does not grow with the tables: pages are forgotten when they have
/// been reported, and of what is wrong only counts are kept, and a bounded number of ids.
pub struct Run<'a> {
    verification: &'a Verification,
    scope: VerifyScope,
    json: bool,
    /// Whether rows are rebuilt beside those in force.
    rebuild: bool,
    stopping: &'a CancellationToken,
    tally: Tally,
    /// Bookings whose events name another slot than their row does.
    displaced: Vec<Uuid>,
    /// Slots named by bookings whose events are not to be trusted: who sits there is not known.
    doubtful: HashSet<SlotKey>,
}

#[derive(Default)]
struct Tally {
    bookings: u64,
    events: u64,
    slots: u64,
    findings: u64,
    rebuilt: u64,
    untrusted: u64,
    /// Rows that differ, by column.
    differing: BTreeMap<String, u64>,
    differing_rows: u64,
}

impl<'a> Run<'a> {
    pub fn new(
        verification: &'a Verification,
        scope: VerifyScope,
        json: bool,
        rebuild: bool,
        stopping: &'a CancellationToken,
    ) -> Self {
        let (tally, displaced, doubtful) = (Tally::default(), Vec::new(), HashSet::new());
        Self { verification, scope, json, rebuild, stopping, tally, displaced, doubtful }
    }

    /// Looks at bookings, then at slots, and tells every finding.
    pub async fn verify(&mut self) -> Result<Outcome, CommandError> {
        if self.rebuild {
            self.verification.begin_rebuild().await?;
        }
        let progress = Progress::start("bookings");
        let is_done = self.verify_bookings(&progress).await?;
        let took = progress.finish();
        if is_done && self.scope.booking_id.is_some() && self.tally.bookings == 0 {
            eprintln!("There is no such booking.");
            return Ok(Outcome::NoSuchBooking);
        }
        let progress = Progress::start("slots");
        let is_done = is_done && self.verify_slots(&progress).await?;
        progress.finish();
        self.summarize(took);
        Ok(match (is_done, self.tally.findings) {
            (false, _) => {
                eprintln!("Interrupted: the rest was not looked at.");
                Outcome::Interrupted
            }
            (true, 0) => Outcome::Sound,
            (true, _) => Outcome::Found,
        })
    }

    /// Returns whether it came to the end.
    async fn verify_bookings(&mut self, progress: &Progress) -> Result<bool, CommandError> {
        let mut from = Some(self.scope.first());
        while let Some(first) = from {
            if self.stopping.is_cancelled() {
                return Ok(false);
            }
            let page = self.verification.verify_bookings(first, self.scope).await?;
            progress.advance(page.bookings.len().try_into().unwrap_or(u64::MAX));
            self.tally.events += page.events;
            for booking in &page.bookings {
                self.note(booking);
                for finding in &booking.findings {
                    self.tell(finding, progress);
                }
            }
            if self.rebuild {
                self.tally.rebuilt += self.verification.rebuild(&page.bookings).await?;
            }
            from = page.next;
        }
        Ok(true)
    }

    fn note(&mut self, booking: &VerifiedBooking) {
        self.tally.bookings += 1;
        match &booking.derived {
            None => {
                self.tally.untrusted += 1;
                if self.doubtful.len() <= REMEMBERED_MAX {
                    self.doubtful.extend(booking.slots.iter().copied());
                }
            }
            Some((_, differs)) => {
                self.tally.differing_rows += u64::from(!differs.is_empty());
                for column in differs {
                    *self.tally.differing.entry(column.clone()).or_default() += 1;
                }
                let is_displaced =
                    ["venue_id", "slot_date", "start_time"].iter().any(|name| differs.iter().any(|it| it == name));
                if is_displaced && self.displaced.len() <= REMEMBERED_MAX {
                    self.displaced.push(booking.booking_id);
                }
            }
        }
    }

    async fn verify_slots(&mut self, progress: &Progress) -> Result<bool, CommandError> {
        let mut after = None;
        while self.scope.booking_id.is_none() {
            if self.stopping.is_cancelled() {
                return Ok(false);
            }
            let page = self.verification.verify_slots(after, self.scope.venue_id, &self.displaced).await?;
            progress.advance(page.count);
            self.tally.slots += page.count;
            for miscount in &page.miscounted {
                self.tell(&miscount.finding(), progress);
            }
            after = page.reached;
            if after.is_none() {
                break;
            }
        }
        Ok(true)
    }

    /// Puts rebuilt rows in force, one transaction each, then corrects the slots.
    pub async fn swap(&self) -> Result<Outcome, CommandError> {
        let (mut repaired, mut after) = (0_u64, Uuid::nil());
        loop {
            let differing = self.verification.rebuilt_differing(after).await?;
            let Some(last) = differing.last() else { break };
            after = *last;
            for booking_id in differing {
                if self.stopping.is_cancelled() {
                    return Ok(Outcome::Interrupted);
                }
                match self.verification.swap_booking(booking_id).await? {
                    Swapped::Repaired => repaired += 1,
                    Swapped::ChangedMeanwhile => eprintln!("Not repaired: booking {booking_id} changed meanwhile."),
                    Swapped::Refused => eprintln!("Not repaired: booking {booking_id} is against a constraint."),
                }
            }
        }
        // Which bookings a slot has, only a run knows that has read the events of all bookings: the row of one
        // of them may have been altered to name another venue.
        let all = self.scope.booking_id.is_none() && self.scope.venue_id.is_none();
        let slots = if all { self.repair_slots().await? } else { Some(0) };
        let Some(slots) = slots else { return Ok(Outcome::Interrupted) };
        eprintln!("Repaired: {repaired} rows of bookings, {slots} slots.");
        Ok(Outcome::Found)
    }

    /// `None` when it was interrupted.
    async fn repair_slots(&self) -> Result<Option<u64>, CommandError> {
        let (mut repaired, mut after) = (0, None);
        loop {
            if self.stopping.is_cancelled() {
                return Ok(None);
            }
            let page = self.verification.verify_slots(after, self.scope.venue_id, &self.displaced).await?;
            for miscount in page.miscounted {
                repaired += u64::from(self.repair_slot(&miscount).await?);
            }
            after = page.reached;
            if after.is_none() {
                return Ok(Some(repaired));
            }
        }
    }

    async fn repair_slot(&self, miscount: &Miscount) -> Result<bool, CommandError> {
        let slot = miscount.slot;
        let forgotten = self.doubtful.len() > REMEMBERED_MAX || self.displaced.len() > REMEMBERED_MAX;
        let why = if forgotten || self.doubtful.contains(&slot) {
            "a booking there cannot be derived"
        } else if miscount.booked > i64::from(miscount.capacity) {
            "its bookings take more seats than there are"
        } else if self.verification.repair_slot(miscount).await? {
            return Ok(true);
        } else {
            "it changed meanwhile"
        };
        eprintln!("Not repaired: the slot of {} at {} of venue {}: {why}.", slot.date, slot.start_time, slot.venue_id);
        Ok(false)
    }

    fn tell(&mut self, finding: &Finding, progress: &Progress) {
        self.tally.findings += 1;
        let line = if self.json { serde_json::to_string(finding).unwrap_or_default() } else { finding.to_string() };
        progress.tell(&line);
    }

    fn summarize(&self, took: Duration) {
        let Tally { bookings, events, slots, findings, rebuilt, untrusted, differing, differing_rows } = &self.tally;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        eprintln!(
            "Verified {bookings} bookings with {events} events in {}.{:03} s ({} bookings/s), and {slots} slots: \
             {findings} findings.",
            millis / 1000,
            millis % 1000,
            bookings.saturating_mul(1000) / millis
        );
        if self.rebuild {
            let columns: Vec<_> = differing.iter().map(|(column, rows)| format!("{column} {rows}")).collect();
            let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
            eprintln!("Rebuilt {rebuilt} rows in bookings_rebuilt: {differing_rows} differ{columns}.");
            if *untrusted > 0 {
                eprintln!("Not rebuilt: {untrusted} bookings whose chain is broken or whose events cannot be.");
            }
        }
    }
}
