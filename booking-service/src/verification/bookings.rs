//! Compares each booking's row with the row that its events give.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, postgres::PgRow, types::Json};
use teppan_shared::{postgres::DatabaseError, time_zone::Rules};
use uuid::Uuid;

use crate::{
    bookings::{
        booking::Booking,
        derive::{derive, differing},
        event_chain::StoredEvent,
    },
    checkpoints::checkpoint::Entry,
    domain::{BookingChange, BookingId, SlotKey, TimeZone, VenueId, instant_or_next},
    event_stream::stream::StreamPosition,
    verification::{
        Verification,
        anchors::{Anchors, compare, missing},
        checkpoints::CoveredUntil,
        finding::{Finding, FindingReason},
        payments::{self, StoredPayment},
    },
};

const VERIFY: &str = include_str!("bookings.sql");

/// Bookings in one page.
const PAGE_SIZE: i64 = 500;

/// The bookings to verify. `None`: all.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyScope {
    pub booking_id: Option<BookingId>,
    pub venue_id: Option<VenueId>,
}

/// A page of verified bookings.
#[derive(Debug, Default)]
pub struct VerifiedPage {
    pub bookings: Vec<VerifiedBooking>,
    pub events: u64,
    /// Events that wait for a checkpoint.
    pub waiting: u64,
    /// Events of bookings that do not exist, although checkpoints name them.
    pub gone: Vec<Finding>,
    /// The first id of the next page; `None` after the last page.
    pub next: Option<Uuid>,
}

/// The result for one booking.
#[derive(Debug)]
pub struct VerifiedBooking {
    pub booking_id: Uuid,
    pub findings: Vec<Finding>,
    /// The row that the events give, and the columns in which the stored row differs. `None` if the events cannot be
    /// trusted.
    pub derived: Option<(Booking, Vec<String>)>,
    /// The slots that the row or one of the events names.
    pub slots: Vec<SlotKey>,
}

impl VerifyScope {
    /// The smallest booking id of the scope.
    pub fn first(self) -> Uuid {
        self.booking_id.map_or(Uuid::nil(), |id| id.0)
    }

    /// The largest booking id of the scope.
    pub fn last(self) -> Uuid {
        self.booking_id.map_or(Uuid::max(), |id| id.0)
    }
}

impl Verification {
    /// Verifies the next page of bookings, beginning with this id. It only reads, in one snapshot. `anchors` are the
    /// entries of checkpoints, and this id is in their range.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn verify_bookings(
        &self,
        from: Uuid,
        scope: VerifyScope,
        anchors: &mut Anchors,
        covered_until: &CoveredUntil,
    ) -> Result<VerifiedPage, DatabaseError> {
        let (last, venue_id) = (anchors.last(), scope.venue_id.map(|id| id.0));
        let page = || {
            let page = sqlx::query(VERIFY).bind(from).bind(last).bind(PAGE_SIZE).bind(venue_id);
            page.try_map(|row: PgRow| Row::from_row(&row))
        };
        let rows = self.database.fetch_all(page).await?;
        let mut page = VerifiedPage::default();
        let (mut seen, mut reached) = (0, last);
        for rows in rows.chunk_by(|one, next| one.booking.booking_id == next.booking.booking_id) {
            let booking_id = rows[0].booking.booking_id.0;
            page.gone.extend(anchors.take_before(booking_id).iter().map(missing));
            let entries = anchors.take_through(booking_id);
            if rows[0].is_wanted {
                let (verified, waiting) = self.verify_rows(rows, entries, covered_until);
                page.events += rows.iter().filter(|row| row.event_id.is_some()).map(|_| 1).sum::<u64>();
                page.waiting += waiting;
                page.bookings.push(verified);
            }
            seen += 1;
            if seen == PAGE_SIZE {
                reached = booking_id;
            }
        }
        page.gone.extend(anchors.take_through(reached).iter().map(missing));
        if scope.venue_id.is_some() {
            page.gone.clear();
        }
        page.next = (reached < scope.last()).then(|| Uuid::from_u128(reached.as_u128().saturating_add(1)));
        Ok(page)
    }

    /// Compares the rows of one booking with each other, and with the entries of checkpoints about it. Also returns how
    /// many of its events wait for a checkpoint.
    fn verify_rows(&self, rows: &[Row], entries: &[Entry], covered_until: &CoveredUntil) -> (VerifiedBooking, u64) {
        let first = &rows[0];
        let events: Vec<_> = rows.iter().filter_map(Row::event).collect();
        let positions: Vec<_> = rows.iter().filter_map(Row::position).collect();
        let payments = first.payments.as_ref().map_or(&[][..], |payments| &payments.0);
        let mut verified = verify(&first.booking, &events);
        // An altered row has a finding of its own: compare the derived booking if there is one.
        let booking = verified.derived.as_ref().map_or(&first.booking, |(derived, _)| derived);
        let differing = payments::differing(booking, &events, payments);
        let instant = first.begins_at_another_instant(booking, self.clock.now());
        if !differing.is_empty() {
            let finding = Finding::of_booking(verified.booking_id, FindingReason::PaymentsDiffer, differing);
            verified.findings.push(finding);
        }
        verified.findings.extend(instant);
        let compared = compare(entries, &events, &positions, covered_until);
        verified.findings.extend(compared.findings);
        if !compared.is_unchanged {
            verified.derived = None;
        }
        (verified, compared.waiting)
    }
}

/// Compares a row with its events. The events are trusted when they have no fault and the row holds the hash of the
/// last one. Otherwise it is unknown whether the row or the end of the chain was altered.
fn verify(row: &Booking, events: &[StoredEvent]) -> VerifiedBooking {
    let booking_id = row.booking_id.0;
    let derived = derive(events);
    let is_sound = derived.faults.is_empty();
    let mut findings: Vec<_> = derived.faults.into_iter().map(|fault| Finding::of_event(booking_id, fault)).collect();
    let is_anchored = events.last().is_some_and(|last| last.hash == row.event_hash);
    if events.is_empty() {
        findings.push(Finding::of_booking(booking_id, FindingReason::NoEvents, Vec::new()));
    } else if !is_anchored {
        findings.push(Finding::of_booking(booking_id, FindingReason::ChainEnd, Vec::new()));
    }
    let mut slots = vec![row.slot()];
    let named = derived.slots.into_iter();
    slots.extend(named.map(|(date, start_time)| SlotKey { venue_id: row.venue_id, date, start_time }));
    let derived = derived.booking.map(|derived| {
        let differs = differing(&derived, row);
        (derived, differs)
    });
    if let Some((derived, differs)) = &derived {
        slots.push(derived.slot());
        if !differs.is_empty() {
            findings.push(Finding::of_booking(booking_id, FindingReason::RowDiffers, differs.clone()));
        }
    }
    let derived = derived.filter(|_| is_sound && is_anchored);
    VerifiedBooking { booking_id, findings, derived, slots }
}

/// A booking's row with one of its events.
#[derive(FromRow)]
struct Row {
    is_wanted: bool,
    #[sqlx(flatten)]
    booking: Booking,
    time_zone_rules_newest: String,
    payments: Option<Json<Vec<StoredPayment>>>,
    event_id: Option<Uuid>,
    event_version: Option<i64>,
    event_stream_position: Option<i64>,
    event_type: Option<String>,
    event_occurred_at: Option<DateTime<Utc>>,
    event_data: Option<String>,
    event_previous_hash: Option<Vec<u8>>,
    event_own_hash: Option<Vec<u8>>,
}

impl Row {
    /// A finding if the booking's start differs from its local time by the time zone rules in force. Only bookings that
    /// can still take place are compared. If a process with newer rules has corrected the venue, this process cannot
    /// judge, and there is no finding.
    fn begins_at_another_instant(&self, booking: &Booking, now: DateTime<Utc>) -> Option<Finding> {
        let is_judged = self.time_zone_rules_newest.as_str() <= Rules::in_force().version().as_str();
        if !is_judged || booking.status.after(BookingChange::CorrectInstant).is_none() {
            return None;
        }
        let field = match TimeZone::parse(&self.booking.time_zone) {
            Err(_) => "time_zone",
            Ok(zone) => {
                let by_rules = instant_or_next(zone, booking.slot_date.and_time(booking.start_time));
                let is_ahead = by_rules.max(booking.starts_at) > now;
                if is_ahead && by_rules != booking.starts_at { "starts_at" } else { return None }
            }
        };
        let fields = vec![field.to_owned()];
        Some(Finding::of_booking(booking.booking_id.0, FindingReason::WrongInstant, fields))
    }

    fn position(&self) -> Option<StreamPosition> {
        let (transaction_position, version) = (self.event_stream_position?, self.event_version?);
        Some(StreamPosition { transaction_position, version, event_id: self.event_id? })
    }

    fn event(&self) -> Option<StoredEvent> {
        Some(StoredEvent {
            event_id: self.event_id?,
            booking_id: self.booking.booking_id.0,
            version: self.event_version?,
            kind: self.event_type.clone()?,
            occurred_at: self.event_occurred_at?,
            data: self.event_data.clone()?,
            previous_hash: self.event_previous_hash.clone()?,
            hash: self.event_own_hash.clone()?,
        })
    }
}
