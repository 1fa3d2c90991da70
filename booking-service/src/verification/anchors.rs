//! What checkpoints state about events, and the comparison with the events.

use uuid::Uuid;

use crate::{
    bookings::event_chain::StoredEvent,
    checkpoints::checkpoint::Entry,
    event_stream::stream::StreamPosition,
    verification::{
        checkpoints::CoveredUntil,
        finding::{Finding, FindingReason},
    },
};

/// The entries that are kept at once: 40 bytes each, and up to twice as many while they are read.
pub const ENTRIES_MAX: usize = 1_000_000;

/// The entries of a range of bookings. If a range has too many, only those of its first bookings are kept, and the
/// checkpoints are read again for the others.
#[derive(Debug)]
pub struct Anchors {
    first: Uuid,
    last: Uuid,
    kept_max: usize,
    /// The number of entries at which they are reduced to `kept_max`.
    reduced_at: usize,
    entries: Vec<Entry>,
    /// The entries before this index have been taken.
    taken: usize,
}

impl Anchors {
    /// For the bookings from `first` to `last`.
    pub fn new(first: Uuid, last: Uuid, kept_max: usize) -> Self {
        Self { first, last, kept_max, reduced_at: kept_max.saturating_mul(2), entries: Vec::new(), taken: 0 }
    }

    /// The last booking whose entries are here.
    pub fn last(&self) -> Uuid {
        self.last
    }

    /// Keeps an entry if its booking is in the range.
    pub fn keep(&mut self, entry: Entry) {
        if !(self.first..=self.last).contains(&entry.booking_id) {
            return;
        }
        self.entries.push(entry);
        if self.entries.len() >= self.reduced_at {
            self.reduce();
        }
    }

    /// Leaves the range's last bookings out. All entries of a booking are kept or left out together, and those of the
    /// first booking are always kept, so that the next range begins later.
    fn reduce(&mut self) {
        let (_, middle, _) = self.entries.select_nth_unstable(self.kept_max);
        let before = middle.booking_id.as_u128().saturating_sub(1);
        self.last = Uuid::from_u128(before).max(self.first);
        let last = self.last;
        self.entries.retain(|entry| entry.booking_id <= last);
        self.reduced_at = self.entries.len().saturating_add(self.kept_max);
    }

    /// Call it when all entries are read.
    pub fn sort(&mut self) {
        self.entries.sort_unstable();
        // An event may have been covered twice.
        self.entries.dedup();
    }

    /// The entries of bookings before this one that have not been taken.
    pub fn take_before(&mut self, booking_id: Uuid) -> &[Entry] {
        self.take_while(|entry| entry.booking_id < booking_id)
    }

    /// The entries up to and including this booking that have not been taken.
    pub fn take_through(&mut self, booking_id: Uuid) -> &[Entry] {
        self.take_while(|entry| entry.booking_id <= booking_id)
    }

    fn take_while(&mut self, is_taken: impl FnMut(&Entry) -> bool) -> &[Entry] {
        let rest = &self.entries[self.taken..];
        let count = rest.partition_point(is_taken);
        self.taken += count;
        &rest[..count]
    }
}

/// The result of the comparison for one booking.
#[derive(Debug, Default)]
pub struct Compared {
    pub findings: Vec<Finding>,
    /// Events that wait for a checkpoint.
    pub waiting: u64,
    /// Whether every event is as the checkpoints state.
    pub is_unchanged: bool,
}

/// Compares the events of a booking, in the order of their versions, with the entries of this booking.
pub fn compare(
    entries: &[Entry],
    events: &[StoredEvent],
    positions: &[StreamPosition],
    covered_until: &CoveredUntil,
) -> Compared {
    let mut compared = Compared::default();
    for entry in entries {
        match events.iter().find(|event| event.version == entry.version) {
            None => compared.findings.push(missing(entry)),
            Some(event) if !entry.has_hash(&event.hash) => {
                compared.findings.push(of_event(event, FindingReason::EventAltered));
            }
            Some(_) => {}
        }
    }
    compared.is_unchanged = compared.findings.is_empty();
    for (event, position) in events.iter().zip(positions) {
        if entries.binary_search_by_key(&event.version, |entry| entry.version).is_ok() {
            continue;
        }
        if covered_until.includes(*position, event.occurred_at) {
            compared.findings.push(of_event(event, FindingReason::EventNotAnchored));
        } else {
            compared.waiting += 1;
        }
    }
    compared
}

/// The finding about an event that is gone.
pub fn missing(entry: &Entry) -> Finding {
    Finding::of_version(entry.booking_id, None, entry.version, FindingReason::EventMissing)
}

fn of_event(event: &StoredEvent, reason: FindingReason) -> Finding {
    Finding::of_version(event.booking_id, Some(event.event_id), event.version, reason)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;

    const BOOKING: Uuid = Uuid::from_u128(7);

    fn entry(booking: u128, version: i64) -> Entry {
        Entry::of(Uuid::from_u128(booking), version, &[1; 32])
    }

    fn event(version: i64, hash: u8) -> StoredEvent {
        StoredEvent {
            event_id: Uuid::from_u128(u128::from(version.unsigned_abs())),
            booking_id: BOOKING,
            version,
            kind: "teppan.booking.created.v1".to_owned(),
            occurred_at: DateTime::UNIX_EPOCH + TimeDelta::minutes(version),
            data: "{}".to_owned(),
            previous_hash: Vec::new(),
            hash: vec![hash; 32],
        }
    }

    fn position(transaction_position: i64) -> StreamPosition {
        StreamPosition { transaction_position, version: 1, event_id: Uuid::nil() }
    }

    fn compared(entries: &[Entry], events: &[StoredEvent], until: CoveredUntil) -> (Vec<(&'static str, i64)>, u64) {
        let positions: Vec<_> = events.iter().map(|event| position(event.version)).collect();
        let compared = compare(entries, events, &positions, &until);
        let named = |finding: &Finding| (finding.reason.as_str(), finding.version.expect("a version"));
        (compared.findings.iter().map(named).collect(), compared.waiting)
    }

    fn until(transaction_position: i64, occurred_at: Option<DateTime<Utc>>) -> CoveredUntil {
        CoveredUntil { position: position(transaction_position), occurred_at }
    }

    #[test]
    fn altered_missing_and_uncovered_events_are_named() {
        let nothing = until(0, None);
        let both = [entry(7, 1), entry(7, 2)];
        assert_eq!(compared(&both, &[event(1, 1), event(2, 1)], nothing), (vec![], 0));
        assert_eq!(compared(&both, &[event(1, 1), event(2, 3)], nothing), (vec![("EVENT_ALTERED", 2)], 0));
        assert_eq!(compared(&both, &[event(1, 1)], nothing), (vec![("EVENT_MISSING", 2)], 0));
        assert_eq!(compared(&both, &[], nothing), (vec![("EVENT_MISSING", 1), ("EVENT_MISSING", 2)], 0));
        assert_eq!(compared(&[], &[event(1, 1), event(2, 1)], nothing), (vec![], 2));
        let by_position = until(1, None);
        assert_eq!(compared(&[], &[event(1, 1), event(2, 1)], by_position), (vec![("EVENT_NOT_ANCHORED", 1)], 1));
        let by_time = until(0, Some(DateTime::UNIX_EPOCH + TimeDelta::minutes(2)));
        assert_eq!(compared(&[], &[event(1, 1), event(2, 1)], by_time), (vec![("EVENT_NOT_ANCHORED", 1)], 1));
    }

    #[test]
    fn entries_that_state_different_hashes_of_one_event_cannot_both_be_met() {
        let other = Entry::of(BOOKING, 1, &[2; 32]);
        for events in [[event(1, 1)], [event(1, 2)]] {
            assert_eq!(compared(&[entry(7, 1), other], &events, until(0, None)).0, [("EVENT_ALTERED", 1)]);
        }
    }

    #[test]
    fn entries_are_taken_booking_by_booking_and_each_once() {
        let mut anchors = Anchors::new(Uuid::nil(), Uuid::max(), 100);
        for (booking, version) in [(3, 2), (1, 1), (3, 1), (2, 1), (3, 1)] {
            anchors.keep(entry(booking, version));
        }
        anchors.sort();
        assert_eq!(anchors.take_before(Uuid::from_u128(2)), [entry(1, 1)]);
        assert_eq!(anchors.take_through(Uuid::from_u128(2)), [entry(2, 1)]);
        assert_eq!(anchors.take_before(Uuid::from_u128(3)), []);
        assert_eq!(anchors.take_through(Uuid::max()), [entry(3, 1), entry(3, 2)]);
        assert_eq!(anchors.take_through(Uuid::max()), []);
    }

    #[test]
    fn ranges_with_few_entries_each_contain_every_entry_of_each_booking_once() {
        let all: Vec<Entry> = (0..50).flat_map(|n| (1..=3).map(move |version| entry(n * 7 % 50, version))).collect();
        let (mut first, mut seen, mut ranges) = (Uuid::nil(), Vec::new(), 0);
        loop {
            let mut anchors = Anchors::new(first, Uuid::max(), 10);
            for entry in &all {
                anchors.keep(*entry);
            }
            anchors.sort();
            let last = anchors.last();
            let taken = anchors.take_through(Uuid::max());
            assert!(taken.len() < 2 * 10 && taken.iter().all(|entry| (first..=last).contains(&entry.booking_id)));
            seen.extend_from_slice(taken);
            ranges += 1;
            if last == Uuid::max() {
                break;
            }
            first = Uuid::from_u128(last.as_u128() + 1);
        }
        let mut all = all;
        all.sort_unstable();
        assert_eq!(seen, all);
        assert!(ranges >= 150 / 20, "{ranges}");
    }

    #[test]
    fn a_booking_with_more_entries_than_a_range_may_have_is_kept_completely() {
        let mut anchors = Anchors::new(Uuid::from_u128(1), Uuid::max(), 4);
        (1..=40).for_each(|version| anchors.keep(entry(1, version)));
        (1..=40).for_each(|version| anchors.keep(entry(2, version)));
        anchors.sort();
        assert_eq!(anchors.last(), Uuid::from_u128(1));
        assert_eq!(anchors.take_through(Uuid::max()).len(), 40);
    }
}
