//! Waits until the workers have offered all free seats, and reads the results.

use std::{sync::Arc, time::Duration};

use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, ListWaitlistRequest, SlotQuery, UnavailableReason, WaitlistEntry,
    WaitlistEntryStatus,
};

use super::{
    calls::{Call, Reply},
    perform::Seen,
    run::Run,
    touched::get,
    waitlist::{Entry, Named},
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
                let named = Named { booking_id, confirmation_code };
                Arc::make_mut(&mut self.model.named).insert(entry.waitlist_entry_id, named);
            }
            after.push((call, seen));
        }
        Ok(after)
    }

    /// Waits until no entry waits for seats that the service reports as bookable, or for a slot that is over.
    async fn wait_until_workers_are_idle(&mut self) -> Result<(), String> {
        let statuses = vec![WaitlistEntryStatus::Waiting.into()];
        let waiting = Call::ListWaitlist(ListWaitlistRequest { page_size: 1000, statuses, ..Default::default() });
        let mut left = Vec::new();
        for _ in 0..CHECKS_MAX {
            let entries = listed(&self.stage.make(&waiting).await);
            left = self.left(&entries).await;
            if left.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        Err(format!("The workers did not handle these: {left:#?}"))
    }

    async fn left(&mut self, entries: &[WaitlistEntry]) -> Vec<SlotQuery> {
        let query = |entry: &WaitlistEntry, party_size| SlotQuery {
            venue_id: entry.venue_id.clone(),
            date: entry.date.clone(),
            start_time: entry.start_time.clone(),
            party_size,
        };
        let mut left = Vec::new();
        for entries in entries.chunks(20) {
            let queries = entries.iter().flat_map(|entry| [query(entry, entry.party_size), query(entry, ANY_PARTY)]);
            let check = Call::BatchCheckAvailability(BatchCheckAvailabilityRequest { queries: queries.collect() });
            let Ok(Reply::Checks(checks)) = self.stage.make(&check).await.answer else { continue };
            for both in checks.chunks(2) {
                let availabilities: Vec<_> =
                    both.iter().map(|check| check.availability.clone().unwrap_or_default()).collect();
                let over =
                    availabilities.iter().any(|it| it.unavailable_reason() == UnavailableReason::InsufficientNotice);
                if over || availabilities[0].bookable {
                    left.extend(both[0].query.clone());
                }
            }
        }
        left
    }
}

fn listed(seen: &Seen) -> Vec<WaitlistEntry> {
    if let Ok(Reply::Waitlist(entries)) = &seen.answer { entries.clone() } else { Vec::new() }
}
