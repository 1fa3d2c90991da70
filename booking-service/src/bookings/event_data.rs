//! The contents of a booking's events: the messages of `teppan.events.v1`, which are stored as JSON, folded, streamed
//! and published.
//!
//! A new event type needs a message in the contract, a line in [`events!`], a step in `fold.rs`, and an arm in
//! [`describe`] for the fields that repeat the booking's.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::de::Error as _;
pub use teppan_shared::contract::booking::v1::booking_event::Data as EventData;
use teppan_shared::contract::events::v1 as wire;

use super::booking::Booking;
use crate::domain::{BookingStatus, CancellationInitiator, Terms};

/// The `source` of every event, as CloudEvents names it.
pub const EVENT_SOURCE: &str = "/teppan/booking-service";

/// Why the contents of an event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// A newer replica wrote it.
    #[error("its type is not known to this version of the service")]
    UnknownType,
    #[error("its data does not match its type")]
    Corrupted(#[from] serde_json::Error),
}

/// The fields that mean the same in every event of a booking. The slot and the status are those after the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub booking_id: String,
    pub venue_id: String,
    pub date: String,
    pub start_time: String,
    pub booking_version: i64,
    pub status: i32,
    pub occurred_at: Option<pbjson_types::Timestamp>,
}

macro_rules! events {
    ($($variant:ident = $kind:literal),+ $(,)?) => {
        /// The type of an event, such as `teppan.booking.created.v1`.
        pub fn kind(data: &EventData) -> &'static str {
            match data {
                $(EventData::$variant(_) => $kind,)+
            }
        }

        fn read_fields(kind: &str, json: &str) -> Result<EventData, UnreadableEvent> {
            match kind {
                $($kind => Ok(EventData::$variant(serde_json::from_str(json)?)),)+
                _ => Err(UnreadableEvent::UnknownType),
            }
        }

        /// The JSON of an event.
        pub fn to_json(data: &EventData) -> serde_json::Result<String> {
            match data {
                $(EventData::$variant(event) => serde_json::to_string(event),)+
            }
        }

        /// The fields that every event has.
        pub fn header(data: &EventData) -> Header {
            match data {
                $(EventData::$variant(event) => Header {
                    booking_id: event.booking_id.clone(),
                    venue_id: event.venue_id.clone(),
                    date: event.date.clone(),
                    start_time: event.start_time.clone(),
                    booking_version: event.booking_version,
                    status: event.status,
                    occurred_at: event.occurred_at.clone(),
                },)+
            }
        }

        fn set_header(data: &mut EventData, header: Header) {
            match data {
                $(EventData::$variant(event) => {
                    event.booking_id = header.booking_id;
                    event.venue_id = header.venue_id;
                    event.date = header.date;
                    event.start_time = header.start_time;
                    event.booking_version = header.booking_version;
                    event.status = header.status;
                    event.occurred_at = header.occurred_at;
                })+
            }
        }
    };
}

events! {
    BookingCreated = "teppan.booking.created.v1",
    BookingConfirmed = "teppan.booking.confirmed.v1",
    BookingRescheduled = "teppan.booking.rescheduled.v1",
    BookingInstantCorrected = "teppan.booking.instant_corrected.v1",
    BookingCustomerChanged = "teppan.booking.customer_changed.v1",
    BookingCancelled = "teppan.booking.cancelled.v1",
    BookingExpired = "teppan.booking.expired.v1",
    BookingCompleted = "teppan.booking.completed.v1",
    BookingNoShow = "teppan.booking.no_show.v1",
    BookingUpdated = "teppan.booking.updated.v1",
    BookingReinstated = "teppan.booking.reinstated.v1",
    BookingTablesAssigned = "teppan.booking.tables_assigned.v1",
    BookingSeated = "teppan.booking.seated.v1",
    PaymentRecorded = "teppan.payment.recorded.v1",
    PaymentFailed = "teppan.payment.failed.v1",
    PaymentProcessing = "teppan.payment.processing.v1",
    PaymentRefunded = "teppan.payment.refunded.v1",
    RefundRequired = "teppan.payment.refund_required.v1",
    WaitlistOffered = "teppan.waitlist.offered.v1",
}

/// Reads the stored JSON of an event of this type. Protobuf reads a missing field as empty, so an event without a
/// booking or a time is rejected here.
pub fn read(kind: &str, json: &str) -> Result<EventData, UnreadableEvent> {
    let event = read_fields(kind, json)?;
    let header = header(&event);
    if header.booking_id.is_empty() || header.occurred_at.is_none() {
        return Err(serde_json::Error::custom("it has no booking_id or no occurred_at").into());
    }
    Ok(event)
}

/// Writes into an event all fields that follow from its booking before and after it. The other fields are decided by
/// the event itself. `verify-events` describes each stored event again; it must not change.
pub fn describe(data: &mut EventData, before: Option<&Booking>, after: &Booking) {
    set_header(
        data,
        Header {
            booking_id: after.booking_id.to_string(),
            venue_id: after.venue_id.to_string(),
            date: after.slot_date.to_string(),
            start_time: minutes(after.start_time),
            booking_version: after.version,
            status: wire::BookingStatus::from(after.status).into(),
            occurred_at: timestamp(after.updated_at),
        },
    );
    match data {
        EventData::BookingCreated(event) => describe_created(event, after),
        EventData::BookingConfirmed(event) => {
            event.customer_id = after.customer_id.to_string();
            event.conversation_id.clone_from(&after.conversation_id);
            event.starts_at = timestamp(after.starts_at);
            event.ends_at = timestamp(after.ends_at);
            event.time_zone.clone_from(&after.time_zone);
            event.party_size = after.party_size;
        }
        EventData::BookingRescheduled(event) => describe_rescheduled(event, before, after),
        EventData::BookingInstantCorrected(event) => {
            event.customer_id = after.customer_id.to_string();
            event.conversation_id.clone_from(&after.conversation_id);
            event.previous_starts_at = before.and_then(|before| timestamp(before.starts_at));
            event.starts_at = timestamp(after.starts_at);
            event.ends_at = timestamp(after.ends_at);
            event.time_zone.clone_from(&after.time_zone);
            event.hold_expires_at = after.hold_expires_at.and_then(timestamp);
        }
        EventData::BookingCustomerChanged(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            event.previous_customer_id = before.map_or_else(String::new, |before| before.customer_id.to_string());
            event.customer_id = after.customer_id.to_string();
        }
        EventData::BookingCancelled(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            event.party_size = after.party_size;
            event.cancelled_by = after.cancelled_by.map_or(wire::CancellationInitiator::Unspecified, Into::into).into();
            event.paid_cents = after.paid_cents;
            event.refund_due_cents = after.refund_due_cents;
            event.kept_cents = after.kept_cents;
            event.currency.clone_from(&after.currency);
        }
        EventData::BookingExpired(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            event.party_size = after.party_size;
            event.hold_expired_at = before.and_then(|before| before.hold_expires_at).and_then(timestamp);
            event.paid_cents = after.paid_cents;
            event.refund_due_cents = after.refund_due_cents;
            event.currency.clone_from(&after.currency);
            event.waitlist_entry_id = after.waitlist_entry_id.map_or_else(String::new, |id| id.to_string());
        }
        EventData::BookingCompleted(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            event.party_size = after.party_size;
        }
        EventData::BookingNoShow(event) => describe_no_show(event, after),
        EventData::BookingUpdated(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            if event.ends_at.is_some() {
                event.ends_at = timestamp(after.ends_at);
                event.occupied_until = after.occupied_until.and_then(timestamp);
            }
        }
        EventData::BookingTablesAssigned(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            event.party_size = after.party_size;
        }
        EventData::BookingReinstated(event) => describe_reinstated(event, before, after),
        EventData::BookingSeated(event) => {
            event.conversation_id.clone_from(&after.conversation_id);
            event.party_size = after.party_size;
            event.area = after.area.clone().unwrap_or_default();
            event.seated_at = after.seated_at.and_then(timestamp);
        }
        EventData::RefundRequired(event) => {
            event.currency.clone_from(&after.currency);
            event.refund_due_cents = after.refund_due_cents;
        }
        EventData::WaitlistOffered(event) => {
            event.waitlist_entry_id = after.waitlist_entry_id.map_or_else(String::new, |id| id.to_string());
            event.customer_id = after.customer_id.to_string();
            event.conversation_id.clone_from(&after.conversation_id);
            event.party_size = after.party_size;
            event.offer_expires_at = after.hold_expires_at.and_then(timestamp);
            event.deposit_cents = after.deposit_cents;
            event.currency.clone_from(&after.currency);
        }
        EventData::PaymentRecorded(_)
        | EventData::PaymentFailed(_)
        | EventData::PaymentProcessing(_)
        | EventData::PaymentRefunded(_) => describe_payment(data, after),
    }
}

fn describe_created(event: &mut wire::BookingCreated, after: &Booking) {
    event.customer_id = after.customer_id.to_string();
    event.conversation_id.clone_from(&after.conversation_id);
    event.confirmation_code.clone_from(&after.confirmation_code);
    event.starts_at = timestamp(after.starts_at);
    event.ends_at = timestamp(after.ends_at);
    event.time_zone.clone_from(&after.time_zone);
    event.party_size = after.party_size;
    event.price_per_person_cents = after.price_per_person_cents;
    event.total_cents = after.total_cents;
    event.deposit_cents = after.deposit_cents;
    event.currency.clone_from(&after.currency);
    event.hold_expires_at = after.hold_expires_at.and_then(timestamp);
    event.waitlist_entry_id = after.waitlist_entry_id.map_or_else(String::new, |id| id.to_string());
    event.area = after.area.clone().unwrap_or_default();
    event.occupied_until = after.occupied_until.and_then(timestamp);
    event.tables = after.tables.clone().unwrap_or_default();
    event.terms = after.terms.as_deref().map(Into::into);
}

fn describe_rescheduled(event: &mut wire::BookingRescheduled, before: Option<&Booking>, after: &Booking) {
    event.customer_id = after.customer_id.to_string();
    event.conversation_id.clone_from(&after.conversation_id);
    if let Some(before) = before {
        event.previous_date = before.slot_date.to_string();
        event.previous_start_time = minutes(before.start_time);
        event.previous_party_size = before.party_size;
    }
    event.starts_at = timestamp(after.starts_at);
    event.ends_at = timestamp(after.ends_at);
    event.time_zone.clone_from(&after.time_zone);
    event.party_size = after.party_size;
    event.price_per_person_cents = after.price_per_person_cents;
    event.total_cents = after.total_cents;
    event.deposit_cents = after.deposit_cents;
    event.refund_due_cents = after.refund_due_cents;
    event.currency.clone_from(&after.currency);
    event.hold_expires_at = after.hold_expires_at.and_then(timestamp);
    event.area = after.area.clone().unwrap_or_default();
    event.occupied_until = after.occupied_until.and_then(timestamp);
    event.tables = after.tables.clone().unwrap_or_default();
    event.retained_cents = Some(after.retained_cents.unwrap_or(0));
    event.refund_base_cents = Some(after.refund_base_cents.unwrap_or(0));
    event.refund_percent_max = Some(after.refund_percent_max.unwrap_or(100));
}

fn describe_no_show(event: &mut wire::BookingNoShow, after: &Booking) {
    event.conversation_id.clone_from(&after.conversation_id);
    event.party_size = after.party_size;
    event.no_show_fee_cents = Some(after.no_show_fee_cents.unwrap_or(0));
    event.no_show_fee_due_cents = Some(after.no_show_fee_due_cents());
    event.refund_due_cents = Some(after.refund_due_cents);
    event.currency.clone_from(&after.currency);
}

fn describe_reinstated(event: &mut wire::BookingReinstated, before: Option<&Booking>, after: &Booking) {
    let previous = before.map_or(wire::BookingStatus::Unspecified, |before| before.status.into());
    event.previous_status = previous.into();
    event.customer_id = after.customer_id.to_string();
    event.conversation_id.clone_from(&after.conversation_id);
    event.party_size = after.party_size;
    event.starts_at = timestamp(after.starts_at);
    event.ends_at = timestamp(after.ends_at);
    event.time_zone.clone_from(&after.time_zone);
    event.paid_cents = after.paid_cents;
    event.refund_due_cents = after.refund_due_cents;
    event.currency.clone_from(&after.currency);
    event.hold_expires_at = after.hold_expires_at.and_then(timestamp);
}

/// Writes the sums of a booking's money after an event.
fn describe_payment(data: &mut EventData, after: &Booking) {
    macro_rules! sums {
        ($event:ident) => {
            $event.currency.clone_from(&after.currency);
            $event.paid_cents = after.paid_cents;
            $event.refunded_cents = after.refunded_cents;
            $event.refund_due_cents = after.refund_due_cents;
            $event.disputed_cents = after.disputed_cents;
        };
    }
    let hold_expires_at = after.hold_expires_at.and_then(timestamp);
    match data {
        EventData::PaymentRecorded(event) => {
            sums!(event);
            event.extras_cents = Some(after.extras_cents.unwrap_or(0));
            event.hold_expires_at = hold_expires_at;
        }
        EventData::PaymentFailed(event) => {
            sums!(event);
            event.hold_expires_at = hold_expires_at;
        }
        EventData::PaymentProcessing(event) => {
            sums!(event);
            event.hold_expires_at = hold_expires_at;
        }
        EventData::PaymentRefunded(event) => {
            sums!(event);
            event.extras_cents = Some(after.extras_cents.unwrap_or(0));
        }
        _ => {}
    }
}

/// A time as a field of an event. Always `Some`, because fields of message types are `Option`s.
#[expect(clippy::unnecessary_wraps, reason = "every field of a message type is optional")]
pub fn timestamp(at: DateTime<Utc>) -> Option<pbjson_types::Timestamp> {
    Some(pbjson_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() })
}

/// Reads a time of an event; `None` if it is missing or invalid.
pub fn instant(at: Option<&pbjson_types::Timestamp>) -> Option<DateTime<Utc>> {
    let at = at?;
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

/// The slot of an event; `None` if its date or time cannot be read.
pub fn slot(data: &EventData) -> Option<(NaiveDate, NaiveTime)> {
    let header = header(data);
    Some((crate::domain::parse_date(&header.date).ok()?, crate::domain::parse_start_time(&header.start_time).ok()?))
}

fn minutes(time: NaiveTime) -> String {
    time.format("%H:%M").to_string()
}

impl From<BookingStatus> for wire::BookingStatus {
    fn from(status: BookingStatus) -> Self {
        match status {
            BookingStatus::Pending => Self::Pending,
            BookingStatus::Confirmed => Self::Confirmed,
            BookingStatus::Cancelled => Self::Cancelled,
            BookingStatus::Expired => Self::Expired,
            BookingStatus::Completed => Self::Completed,
            BookingStatus::NoShow => Self::NoShow,
        }
    }
}

/// `None` for a value that is no status of a booking.
pub fn status(raw: i32) -> Option<BookingStatus> {
    Some(match wire::BookingStatus::try_from(raw).ok()? {
        wire::BookingStatus::Unspecified => return None,
        wire::BookingStatus::Pending => BookingStatus::Pending,
        wire::BookingStatus::Confirmed => BookingStatus::Confirmed,
        wire::BookingStatus::Cancelled => BookingStatus::Cancelled,
        wire::BookingStatus::Expired => BookingStatus::Expired,
        wire::BookingStatus::Completed => BookingStatus::Completed,
        wire::BookingStatus::NoShow => BookingStatus::NoShow,
    })
}

impl From<&Terms> for wire::BookingTerms {
    fn from(terms: &Terms) -> Self {
        Self {
            full_refund_hours: terms.full_refund_hours,
            late_refund_percent: terms.late_refund_percent,
            deposit_percent: terms.deposit_percent,
            deposit_per_person_cents: terms.deposit_per_person_cents,
            deposit_fixed_cents: terms.deposit_fixed_cents,
            deposit_min_party_size: terms.deposit_min_party_size,
            minimum_spend_cents: terms.minimum_spend_cents,
            no_show_fee_per_person_cents: terms.no_show_fee_per_person_cents,
        }
    }
}

impl From<&wire::BookingTerms> for Terms {
    fn from(terms: &wire::BookingTerms) -> Self {
        Self {
            full_refund_hours: terms.full_refund_hours,
            late_refund_percent: terms.late_refund_percent,
            deposit_percent: terms.deposit_percent,
            deposit_per_person_cents: terms.deposit_per_person_cents,
            deposit_fixed_cents: terms.deposit_fixed_cents,
            deposit_min_party_size: terms.deposit_min_party_size,
            minimum_spend_cents: terms.minimum_spend_cents,
            no_show_fee_per_person_cents: terms.no_show_fee_per_person_cents,
        }
    }
}

impl From<CancellationInitiator> for wire::CancellationInitiator {
    fn from(initiator: CancellationInitiator) -> Self {
        match initiator {
            CancellationInitiator::Customer => Self::Customer,
            CancellationInitiator::Venue => Self::Venue,
        }
    }
}

/// `None` for a value that is no initiator.
pub fn initiator(raw: i32) -> Option<CancellationInitiator> {
    match wire::CancellationInitiator::try_from(raw).ok()? {
        wire::CancellationInitiator::Unspecified => None,
        wire::CancellationInitiator::Customer => Some(CancellationInitiator::Customer),
        wire::CancellationInitiator::Venue => Some(CancellationInitiator::Venue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_event_type_and_invalid_event_data_are_different_errors() {
        assert!(matches!(read("teppan.booking.moved.v9", "{}"), Err(UnreadableEvent::UnknownType)));
        assert!(matches!(read("teppan.booking.created.v1", "[]"), Err(UnreadableEvent::Corrupted(_))));
        assert!(matches!(read("teppan.booking.created.v1", "{}"), Err(UnreadableEvent::Corrupted(_))));
    }

    #[test]
    fn the_json_of_an_event_has_the_names_of_the_contract_and_reads_back_unchanged() {
        let event = EventData::PaymentFailed(wire::PaymentFailed {
            booking_id: "01a229a3-3b30-7228-9285-b7f721d32769".to_owned(),
            occurred_at: timestamp(DateTime::UNIX_EPOCH),
            reason: wire::PaymentFailureReason::Declined.into(),
            amount_cents: 1 << 60,
            ..Default::default()
        });
        let text = to_json(&event).expect("JSON");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["reason"], "PAYMENT_FAILURE_REASON_DECLINED");
        assert_eq!((&json["amount_cents"], &json["paid_cents"]), (&"1152921504606846976".into(), &"0".into()));
        assert_eq!(read(kind(&event), &text).expect("an event"), event);
    }
}
