//! Bookings beside what their events make of them.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use teppan_shared::{
    read_error::{Corrupted, ReadError},
    time_zone::Rules,
};
use uuid::Uuid;

use crate::{
    core::Core,
    domain::{
        BookingChange, BookingColumns, BookingId, BookingStatus, CancellationInitiator, SlotKey, StoredEvent, TimeZone,
        VenueId, derive, instant_or_next,
    },
    verification::finding::{Finding, FindingReason},
};

/// Bookings that one statement reads.
const PAGE_SIZE: i64 = 500;

/// Which bookings are looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyScope {
    pub booking_id: Option<BookingId>,
    pub venue_id: Option<VenueId>,
}

/// A page of bookings that were looked at.
#[derive(Debug, Default)]
pub struct VerifiedPage {
    pub bookings: Vec<VerifiedBooking>,
    pub events: u64,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Uuid>,
}

/// A booking that was looked at.
#[derive(Debug)]
pub struct VerifiedBooking {
    pub booking_id: Uuid,
    pub findings: Vec<Finding>,
    /// The row as the events have it, and the columns in which it is not so. `None` where the events are not to
    /// be trusted: then nothing is derived from them.
    pub derived: Option<(BookingColumns, Vec<&'static str>)>,
    /// The slots that the row and the events name.
    pub slots: Vec<SlotKey>,
}

impl VerifyScope {
    /// Where the bookings begin by id.
    pub fn first(self) -> Uuid {
        self.booking_id.map_or(Uuid::nil(), |id| id.0)
    }

    fn last(self) -> Uuid {
        self.booking_id.map_or(Uuid::max(), |id| id.0)
    }
}

impl Core {
    /// Looks at the next bookings from this id on. It only reads, in one snapshot.
    ///
    /// # Errors
    /// When the database gave no answer, or one that its constraints forbid.
    pub async fn verify_bookings(&self, from: Uuid, scope: VerifyScope) -> Result<VerifiedPage, ReadError> {
        let venue_id = scope.venue_id.map(|id| id.0);
        let page =
            || sqlx::query_file_as!(Row, "src/verification/bookings.sql", from, scope.last(), PAGE_SIZE, venue_id);
        let rows = self.database.fetch_all(page).await?;
        let mut page = VerifiedPage::default();
        let (mut seen, mut reached) = (0, None);
        for rows in rows.chunk_by(|one, next| one.booking_id == next.booking_id) {
            seen += 1;
            reached = Some(rows[0].booking_id);
            if rows[0].is_wanted {
                let events = rows.iter().filter_map(Row::event).collect::<Vec<_>>();
                page.events += u64::try_from(events.len()).unwrap_or(u64::MAX);
                let row = rows[0].columns().ok_or(Corrupted::Column("bookings.status"))?;
                let mut verified = verify(&row, &events);
                // A row that was altered has a finding of its own: what counts is what the events say, if anything.
                let booking = verified.derived.as_ref().map_or(&row, |(columns, _)| columns);
                let finding = rows[0].begins_at_another_instant(booking, self.clock.now());
                verified.findings.extend(finding);
                page.bookings.push(verified);
            }
        }
        if seen == PAGE_SIZE {
            page.next = reached.and_then(|id| id.as_u128().checked_add(1)).map(Uuid::from_u128);
        }
        Ok(page)
    }
}

/// Holds a row against its events. They are to be trusted when nothing is wrong with them and the row's hash is
/// that of the last one: without that nobody can tell whether the row or the end of the chain was altered.
fn verify(row: &BookingColumns, events: &[StoredEvent]) -> VerifiedBooking {
    let booking_id = row.booking_id;
    let derived = derive(events);
    let is_sound = derived.faults.is_empty();
    let mut findings: Vec<_> = derived.faults.into_iter().map(|fault| Finding::of_event(booking_id, fault)).collect();
    let is_anchored = events.last().is_some_and(|last| last.hash == row.event_hash);
    if events.is_empty() {
        findings.push(Finding::of_booking(booking_id, FindingReason::NoEvents, Vec::new()));
    } else if !is_anchored {
        findings.push(Finding::of_booking(booking_id, FindingReason::ChainEnd, Vec::new()));
    }
    let mut slots = vec![slot(row.venue_id, row.slot_date, row.start_time)];
    slots.extend(derived.slots.into_iter().map(|(date, time)| slot(row.venue_id, date, time)));
    let derived = derived.columns.map(|columns| {
        let mut differs = columns.differing(row);
        // It has a finding of its own.
        differs.retain(|column| *column != "event_hash");
        (columns, differs)
    });
    if let Some((columns, differs)) = &derived {
        slots.push(slot(columns.venue_id, columns.slot_date, columns.start_time));
        if !differs.is_empty() {
            findings.push(Finding::of_booking(booking_id, FindingReason::RowDiffers, differs.clone()));
        }
    }
    let derived = derived.filter(|_| is_sound && is_anchored);
    VerifiedBooking { booking_id, findings, derived, slots }
}

fn slot(venue_id: Uuid, date: NaiveDate, start_time: NaiveTime) -> SlotKey {
    SlotKey { venue_id: VenueId(venue_id), date, start_time }
}

/// A booking's row with one of its events.
struct Row {
    is_wanted: bool,
    time_zone: String,
    time_zone_rules_newest: String,
    booking_id: Uuid,
    confirmation_code: String,
    status: String,
    venue_id: Uuid,
    slot_date: NaiveDate,
    start_time: NaiveTime,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    customer_id: Uuid,
    party_size: i32,
    price_per_person_cents: i64,
    total_cents: i64,
    deposit_due_cents: i64,
    paid_cents: i64,
    refunded_cents: i64,
    refund_due_cents: i64,
    currency: String,
    hold_expires_at: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    cancelled_by: Option<String>,
    conversation_id: String,
    waitlist_entry_id: Option<Uuid>,
    version: i64,
    event_hash: Vec<u8>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    event_id: Option<Uuid>,
    event_version: Option<i64>,
    event_type: Option<String>,
    event_occurred_at: Option<DateTime<Utc>>,
    event_data: Option<String>,
    event_previous_hash: Option<Vec<u8>>,
    event_own_hash: Option<Vec<u8>>,
}

impl Row {
    /// Whether a booking that can still take place does not begin when its local time is, by the rules of time zones
    /// in force. Where a process with newer rules has corrected the venue, this one cannot tell.
    fn begins_at_another_instant(&self, booking: &BookingColumns, now: DateTime<Utc>) -> Option<Finding> {
        let is_judged = self.time_zone_rules_newest.as_str() <= Rules::in_force().version().as_str();
        if !is_judged || booking.status.after(BookingChange::CorrectInstant).is_none() {
            return None;
        }
        let fields = match TimeZone::parse(&self.time_zone) {
            Err(_) => vec!["time_zone"],
            Ok(zone) => {
                let by_rules = instant_or_next(zone, booking.slot_date.and_time(booking.start_time));
                let is_ahead = by_rules.max(booking.starts_at) > now;
                if is_ahead && by_rules != booking.starts_at { vec!["starts_at"] } else { return None }
            }
        };
        Some(Finding::of_booking(booking.booking_id, FindingReason::WrongInstant, fields))
    }

    fn event(&self) -> Option<StoredEvent> {
        Some(StoredEvent {
            event_id: self.event_id?,
            booking_id: self.booking_id,
            version: self.event_version?,
            kind: self.event_type.clone()?,
            occurred_at: self.event_occurred_at?,
            data: self.event_data.clone()?,
            previous_hash: self.event_previous_hash.clone()?,
            hash: self.event_own_hash.clone()?,
        })
    }

    /// `None` for what the table's constraints forbid.
    fn columns(&self) -> Option<BookingColumns> {
        let cancelled_by = match &self.cancelled_by {
            Some(raw) => Some(CancellationInitiator::from_column(raw)?),
            None => None,
        };
        Some(BookingColumns {
            booking_id: self.booking_id,
            confirmation_code: self.confirmation_code.clone(),
            status: BookingStatus::from_column(&self.status)?,
            venue_id: self.venue_id,
            slot_date: self.slot_date,
            start_time: self.start_time,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            customer_id: self.customer_id,
            party_size: self.party_size,
            price_per_person_cents: self.price_per_person_cents,
            total_cents: self.total_cents,
            deposit_due_cents: self.deposit_due_cents,
            paid_cents: self.paid_cents,
            refunded_cents: self.refunded_cents,
            refund_due_cents: self.refund_due_cents,
            currency: self.currency.clone(),
            hold_expires_at: self.hold_expires_at,
            confirmed_at: self.confirmed_at,
            cancelled_at: self.cancelled_at,
            cancelled_by,
            conversation_id: self.conversation_id.clone(),
            waitlist_entry_id: self.waitlist_entry_id,
            version: self.version,
            event_hash: self.event_hash.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
