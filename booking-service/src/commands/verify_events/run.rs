//! Verifies everything in the scope, page by page, and repairs it afterwards.

mod checkpoints;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::checkpoints::Covered;
use super::{CommandError, checkpoint_file::CheckpointFile, progress::Progress};
use crate::{
    checkpoints::checkpoint::Anchor,
    domain::SlotKey,
    verification::Verification,
    verification::bookings::{VerifiedBooking, VerifyScope},
    verification::finding::Finding,
    verification::repair::Swapped,
    verification::slots::Miscount,
};

/// How many bookings with a wrong slot, and how many slots of untrusted bookings, are kept in memory.
const REMEMBERED_MAX: usize = 10_000;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    NoFindings,
    Findings,
    NoSuchBooking,
    Interrupted,
}

/// One verification of everything in its scope. Its memory does not grow with the tables: a page is dropped after its
/// findings are reported; only counts, and a bounded number of ids and of entries of checkpoints, are kept.
pub struct Run<'a> {
    verification: &'a Verification,
    scope: VerifyScope,
    json: bool,
    /// Whether rows are rebuilt in the table bookings_rebuilt.
    rebuild: bool,
    /// The file with a checkpoint that must still be in the database.
    checkpoint_file: Option<&'a CheckpointFile>,
    stopping: &'a CancellationToken,
    tally: Tally,
    newest_checkpoint: Option<Anchor>,
    /// Bookings whose row names another slot than their events.
    wrong_slot_bookings: Vec<Uuid>,
    /// Slots of bookings whose events cannot be trusted: the seats that these bookings take are unknown.
    untrusted_slots: HashSet<SlotKey>,
}

#[derive(Default)]
struct Tally {
    bookings: u64,
    events: u64,
    slots: u64,
    findings: u64,
    checkpoints: u64,
    /// Events that wait for a checkpoint.
    waiting: u64,
    rebuilt: u64,
    untrusted: u64,
    /// The number of rows that differ, by column.
    differing: BTreeMap<String, u64>,
    differing_rows: u64,
}

impl<'a> Run<'a> {
    pub fn new(
        verification: &'a Verification,
        scope: VerifyScope,
        json: bool,
        rebuild: bool,
        checkpoint_file: Option<&'a CheckpointFile>,
        stopping: &'a CancellationToken,
    ) -> Self {
        Self {
            verification,
            scope,
            json,
            rebuild,
            checkpoint_file,
            stopping,
            tally: Tally::default(),
            newest_checkpoint: None,
            wrong_slot_bookings: Vec::new(),
            untrusted_slots: HashSet::new(),
        }
    }

    /// Verifies checkpoints, then bookings, then slots, and reports every finding.
    pub async fn verify(&mut self) -> Result<Outcome, CommandError> {
        if self.rebuild {
            self.verification.begin_rebuild().await?;
        }
        let Some(covered) = self.verify_checkpoints().await? else { return Ok(interrupted()) };
        let progress = Progress::start("bookings");
        let is_done = self.verify_bookings(covered, &progress).await?;
        let took = progress.finish();
        // A booking that checkpoints name is not unknown, but gone.
        if is_done && self.scope.booking_id.is_some() && self.tally.bookings == 0 && self.tally.findings == 0 {
            eprintln!("There is no such booking.");
            return Ok(Outcome::NoSuchBooking);
        }
        let progress = Progress::start("slots");
        let is_done = is_done && self.verify_slots(&progress).await? && self.verify_areas(&progress).await?;
        progress.finish();
        self.summarize(took);
        Ok(match (is_done, self.tally.findings) {
            (false, _) => interrupted(),
            (true, 0) => {
                self.renew_checkpoint_file()?;
                Outcome::NoFindings
            }
            (true, _) => Outcome::Findings,
        })
    }

    /// Returns whether all pages were verified.
    async fn verify_bookings(&mut self, mut covered: Covered, progress: &Progress) -> Result<bool, CommandError> {
        let mut from = Some(self.scope.first());
        while let Some(first) = from {
            if self.stopping.is_cancelled() || !self.extend_to(first, &mut covered).await? {
                return Ok(false);
            }
            let Covered { anchors, until } = &mut covered;
            let page = self.verification.verify_bookings(first, self.scope, anchors, until).await?;
            progress.advance(page.bookings.len().try_into().unwrap_or(u64::MAX));
            self.tally.events += page.events;
            self.tally.waiting += page.waiting;
            for finding in &page.gone {
                self.report(finding, progress);
            }
            for booking in &page.bookings {
                self.count(booking);
                for finding in &booking.findings {
                    self.report(finding, progress);
                }
            }
            if self.rebuild {
                self.tally.rebuilt += self.verification.rebuild(&page.bookings).await?;
            }
            from = page.next;
        }
        Ok(true)
    }

    fn count(&mut self, booking: &VerifiedBooking) {
        self.tally.bookings += 1;
        match &booking.derived {
            None => {
                self.tally.untrusted += 1;
                if self.untrusted_slots.len() <= REMEMBERED_MAX {
                    self.untrusted_slots.extend(booking.slots.iter().copied());
                }
            }
            Some((_, differs)) => {
                self.tally.differing_rows += u64::from(!differs.is_empty());
                for column in differs {
                    *self.tally.differing.entry(column.clone()).or_default() += 1;
                }
                let is_wrong_slot =
                    ["venue_id", "slot_date", "start_time"].iter().any(|name| differs.iter().any(|it| it == name));
                if is_wrong_slot && self.wrong_slot_bookings.len() <= REMEMBERED_MAX {
                    self.wrong_slot_bookings.push(booking.booking_id);
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
            let page = self.verification.verify_slots(after, self.scope.venue_id, &self.wrong_slot_bookings).await?;
            progress.advance(page.count);
            self.tally.slots += page.count;
            for miscount in &page.miscounted {
                self.report(&miscount.finding(), progress);
            }
            after = page.reached;
            if after.is_none() {
                break;
            }
        }
        Ok(true)
    }

    async fn verify_areas(&mut self, progress: &Progress) -> Result<bool, CommandError> {
        let mut after = None;
        while self.scope.booking_id.is_none() {
            if self.stopping.is_cancelled() {
                return Ok(false);
            }
            let page = self.verification.verify_areas(after, self.scope.venue_id).await?;
            for finding in &page.findings {
                self.report(finding, progress);
            }
            after = page.reached;
            if after.is_none() {
                break;
            }
        }
        Ok(true)
    }

    /// Returns the number of venues whose areas were counted again; `None` when interrupted.
    async fn repair_areas(&self) -> Result<Option<u64>, CommandError> {
        let (mut repaired, mut after) = (0, None);
        loop {
            if self.stopping.is_cancelled() {
                return Ok(None);
            }
            let page = self.verification.verify_areas(after, self.scope.venue_id).await?;
            for venue_id in page.miscounted {
                repaired += u64::from(self.verification.recount_areas(venue_id).await?);
            }
            after = page.reached;
            if after.is_none() {
                return Ok(Some(repaired));
            }
        }
    }

    /// Replaces rows by rebuilt rows, in one transaction each, then corrects the slots.
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
                    Swapped::Refused => eprintln!("Not repaired: booking {booking_id} violates a constraint."),
                }
            }
        }
        // Only a run over all bookings knows every booking of a slot: a row may have been altered to name another
        // venue.
        let all = self.scope.booking_id.is_none() && self.scope.venue_id.is_none();
        let slots = if all { self.repair_slots().await? } else { Some(0) };
        let floors = if all { self.repair_areas().await? } else { Some(0) };
        let (Some(slots), Some(floors)) = (slots, floors) else { return Ok(Outcome::Interrupted) };
        eprintln!("Repaired: {repaired} rows of bookings, {slots} slots, {floors} floors.");
        Ok(Outcome::Findings)
    }

    /// Returns the number of repaired slots; `None` when interrupted.
    async fn repair_slots(&self) -> Result<Option<u64>, CommandError> {
        let (mut repaired, mut after) = (0, None);
        loop {
            if self.stopping.is_cancelled() {
                return Ok(None);
            }
            let page = self.verification.verify_slots(after, self.scope.venue_id, &self.wrong_slot_bookings).await?;
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
        let forgotten = self.untrusted_slots.len() > REMEMBERED_MAX || self.wrong_slot_bookings.len() > REMEMBERED_MAX;
        let why = if forgotten || self.untrusted_slots.contains(&slot) {
            "the events of one of its bookings cannot be trusted"
        } else if miscount.booked > i64::from(miscount.capacity) {
            "its bookings take more seats than its capacity"
        } else if self.verification.repair_slot(miscount).await? {
            return Ok(true);
        } else {
            "it changed meanwhile"
        };
        eprintln!("Not repaired: the slot of {} at {} of venue {}: {why}.", slot.date, slot.start_time, slot.venue_id);
        Ok(false)
    }

    fn report(&mut self, finding: &Finding, progress: &Progress) {
        self.tally.findings += 1;
        let line = if self.json { serde_json::to_string(finding).unwrap_or_default() } else { finding.to_string() };
        progress.print_line(&line);
    }

    fn summarize(&self, took: Duration) {
        let Tally { bookings, events, slots, findings, rebuilt, untrusted, differing, differing_rows, .. } =
            &self.tally;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        eprintln!(
            "Verified {bookings} bookings with {events} events in {}.{:03} s ({} bookings/s), and {slots} slots: \
             {findings} findings.",
            millis / 1000,
            millis % 1000,
            bookings.saturating_mul(1000) / millis
        );
        self.summarize_checkpoints();
        if self.rebuild {
            let columns: Vec<_> = differing.iter().map(|(column, rows)| format!("{column} {rows}")).collect();
            let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
            eprintln!("Rebuilt {rebuilt} rows in bookings_rebuilt: {differing_rows} differ{columns}.");
            if *untrusted > 0 {
                eprintln!("Not rebuilt: {untrusted} bookings whose events cannot be trusted.");
            }
        }
    }
}

fn interrupted() -> Outcome {
    eprintln!("Interrupted: the rest was not verified.");
    Outcome::Interrupted
}
