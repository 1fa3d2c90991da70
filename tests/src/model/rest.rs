//! Waits until the workers have offered all free seats, and reads the results.

use std::{sync::Arc, time::Duration};

use teppan_shared::contract::booking::v1::{
    AreaAvailability, BatchCheckAvailabilityRequest, ListWaitlistRequest, SlotAvailability, SlotQuery,
    UnavailableReason, WaitlistEntry, WaitlistEntryStatus,
};

use super::{
    calls::{Call, Reply},
    perform::Seen,
    run::Run,
    schedules::STARTS,
    state::{date, time},
    touched::get,
    waitlist::{Entry, Named, window},
};

/// A party size that every venue accepts: a slot that refuses it can no longer be booked.
const ANY_PARTY: i32 = 3;
const CHECKS_MAX: u32 = 1000;
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

impl Run {
    /// The waitlist after the workers have nothing left to offer or close. Registers the bookings of the offers.
    pub(super) async fn offers(&mut self, made: &[Seen]) -> Result<Vec<(Call, Seen)>, String> {
        let joined = made.iter().any(|seen| matches!(seen.answer, Ok(Reply::Joined(_))));
        if self.model.waitlist.is_empty() && !joined {
            return Ok(Vec::new());
        }
        let waits = |entry: &Arc<Entry>| entry.proto.status() == WaitlistEntryStatus::Waiting;
        if joined || self.model.waitlist.iter().any(waits) {
            self.wait_until_workers_are_idle().await?;
        }
        let all = Call::ListWaitlist(ListWaitlistRequest { page_size: 1000, ..Default::default() });
        let seen = self.stage.make(&all).await;
        let entries = listed(&seen);
        let mut after = vec![(all, seen)];
        for entry in entries.into_iter().filter(|entry| !entry.booking_id.is_empty()) {
            if self.model.named.contains_key(&entry.waitlist_entry_id) {
                continue;
            }
            let call = get(entry.booking_id);
            let seen = self.stage.make(&call).await;
            if let Ok(Reply::Booking(booking)) = &seen.answer {
                let (booking_id, confirmation_code) = (booking.booking_id.clone(), booking.confirmation_code.clone());
                let slot = (date(&booking.date), time(&booking.start_time));
                let named = Named { booking_id, confirmation_code, slot };
                Arc::make_mut(&mut self.model.named).insert(entry.waitlist_entry_id, named);
            }
            after.push((call, seen));
        }
        Ok(after)
    }

    /// Waits until no entry waits for seats that the service reports as bookable, or for slots that are over.
    async fn wait_until_workers_are_idle(&mut self) -> Result<(), String> {
        let statuses = vec![WaitlistEntryStatus::Waiting.into(), WaitlistEntryStatus::Offered.into()];
        let open = Call::ListWaitlist(ListWaitlistRequest { page_size: 1000, statuses, ..Default::default() });
        let mut left = Vec::new();
        for _ in 0..CHECKS_MAX {
            let entries = listed(&self.stage.make(&open).await);
            left = self.left(&entries).await;
            if left.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        Err(format!("The workers did not handle these: {left:#?}"))
    }

    /// The waiting entries that the workers must offer seats to or close.
    async fn left(&mut self, entries: &[WaitlistEntry]) -> Vec<WaitlistEntry> {
        let waiting = entries.iter().filter(|entry| entry.status() == WaitlistEntryStatus::Waiting);
        let waiting: Vec<_> = waiting.map(|entry| (entry, starts(entry))).collect();
        let mut left = Vec::new();
        for some in waiting.chunks(20) {
            let queries = some.iter().flat_map(|(entry, starts)| starts.iter().flat_map(|start| queries(entry, start)));
            let check = Call::BatchCheckAvailability(BatchCheckAvailabilityRequest { queries: queries.collect() });
            let Ok(Reply::Checks(checks)) = self.stage.make(&check).await.answer else { continue };
            let mut checks = checks.into_iter().map(|check| check.availability.unwrap_or_default());
            for (entry, starts) in some {
                let of_entry: Vec<_> = checks.by_ref().take(2 * starts.len()).collect();
                let slots = of_entry.chunks(2).filter(|both| both[0].starts_at.is_some());
                let is_over = slots.clone().next_back().is_some_and(is_over);
                let is_offered = |both: &[SlotAvailability]| {
                    let has_it = |other: &WaitlistEntry| {
                        other.waitlist_entry_id != entry.waitlist_entry_id
                            && (&other.customer_id, &other.venue_id) == (&entry.customer_id, &entry.venue_id)
                            && (&other.date, &other.start_time) == (&both[0].date, &both[0].start_time)
                    };
                    !entry.latest_start_time.is_empty() && entries.iter().any(has_it)
                };
                if is_over || slots.clone().any(|both| fits(entry, &both[0]) && !is_offered(both)) {
                    left.push((*entry).clone());
                }
            }
        }
        left
    }
}

/// The starts for which an entry waits, whether there are slots or not.
fn starts(entry: &WaitlistEntry) -> Vec<String> {
    let (from, until) = window(entry);
    let mut starts: Vec<_> = STARTS.into_iter().filter(|start| (from..=until).contains(&time(start))).collect();
    starts.sort_unstable();
    starts.into_iter().map(str::to_owned).collect()
}

fn queries(entry: &WaitlistEntry, start: &str) -> [SlotQuery; 2] {
    [entry.party_size, ANY_PARTY].map(|party_size| SlotQuery {
        venue_id: entry.venue_id.clone(),
        date: entry.date.clone(),
        start_time: start.to_owned(),
        party_size,
    })
}

fn is_over(both: &[SlotAvailability]) -> bool {
    both.iter().any(|it| it.unavailable_reason() == UnavailableReason::InsufficientNotice)
}

/// Whether an entry's party can book a slot, where it would sit.
fn fits(entry: &WaitlistEntry, slot: &SlotAvailability) -> bool {
    let seats_it = |area: &AreaAvailability| entry.areas.contains(&area.area) && area.open_seats >= entry.party_size;
    slot.bookable && (entry.areas.is_empty() || slot.areas.is_empty() || slot.areas.iter().any(seats_it))
}

fn listed(seen: &Seen) -> Vec<WaitlistEntry> {
    if let Ok(Reply::Waitlist(entries)) = &seen.answer { entries.clone() } else { Vec::new() }
}
