//! What happened, from the domain to the wire.

use teppan_shared::{
    contract::{booking::v1::booking_event::Data, events::v1 as events},
    wire::timestamp,
};

use super::{
    encode::{event_initiator, event_status},
    encode_payment_event as payment,
};
use crate::domain::{
    BookingCancelled, BookingCompleted, BookingConfirmed, BookingCreated, BookingExpired, BookingInstantCorrected,
    BookingNoShow, BookingRescheduled, ConfirmationCause, EventData, WaitlistOffered,
};

pub fn data(data: EventData) -> Data {
    match data {
        EventData::BookingCreated(event) => Data::BookingCreated(created(event)),
        EventData::BookingConfirmed(event) => Data::BookingConfirmed(confirmed(event)),
        EventData::BookingRescheduled(event) => Data::BookingRescheduled(rescheduled(event)),
        EventData::BookingInstantCorrected(event) => Data::BookingInstantCorrected(instant_corrected(event)),
        EventData::BookingCancelled(event) => Data::BookingCancelled(cancelled(event)),
        EventData::BookingExpired(event) => Data::BookingExpired(expired(event)),
        EventData::BookingCompleted(event) => Data::BookingCompleted(completed(event)),
        EventData::BookingNoShow(event) => Data::BookingNoShow(no_show(event)),
        EventData::PaymentRecorded(event) => Data::PaymentRecorded(payment::recorded(event)),
        EventData::PaymentFailed(event) => Data::PaymentFailed(payment::failed(event)),
        EventData::PaymentProcessing(event) => Data::PaymentProcessing(payment::processing(event)),
        EventData::PaymentRefunded(event) => Data::PaymentRefunded(payment::refunded(event)),
        EventData::RefundRequired(event) => Data::RefundRequired(payment::refund_required(event)),
        EventData::WaitlistOffered(event) => Data::WaitlistOffered(offered(event)),
    }
}

fn created(created: BookingCreated) -> events::BookingCreated {
    events::BookingCreated {
        booking_id: created.booking_id.to_string(),
        venue_id: created.venue_id.to_string(),
        date: created.date,
        start_time: created.start_time,
        booking_version: created.booking_version,
        status: event_status(created.status).into(),
        occurred_at: Some(timestamp(created.occurred_at)),
        customer_id: created.customer_id.to_string(),
        conversation_id: created.conversation_id,
        confirmation_code: created.confirmation_code,
        starts_at: Some(timestamp(created.starts_at)),
        ends_at: Some(timestamp(created.ends_at)),
        time_zone: created.time_zone,
        party_size: created.party_size,
        price_per_person_cents: created.price_per_person_cents,
        total_cents: created.total_cents,
        deposit_due_cents: created.deposit_due_cents,
        currency: created.currency,
        hold_expires_at: created.hold_expires_at.map(timestamp),
        waitlist_entry_id: created.waitlist_entry_id.unwrap_or_default(),
    }
}

fn confirmed(event: BookingConfirmed) -> events::BookingConfirmed {
    events::BookingConfirmed {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        starts_at: Some(timestamp(event.starts_at)),
        ends_at: Some(timestamp(event.ends_at)),
        time_zone: event.time_zone,
        party_size: event.party_size,
        cause: cause(event.cause).into(),
        seats_retaken: event.seats_retaken,
    }
}

fn cause(cause: ConfirmationCause) -> events::ConfirmationCause {
    match cause {
        ConfirmationCause::DepositPaid => events::ConfirmationCause::DepositPaid,
        ConfirmationCause::Requested => events::ConfirmationCause::Requested,
    }
}

fn rescheduled(event: BookingRescheduled) -> events::BookingRescheduled {
    events::BookingRescheduled {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        previous_date: event.previous_date,
        previous_start_time: event.previous_start_time,
        previous_party_size: event.previous_party_size,
        starts_at: Some(timestamp(event.starts_at)),
        ends_at: Some(timestamp(event.ends_at)),
        time_zone: event.time_zone,
        party_size: event.party_size,
        price_per_person_cents: event.price_per_person_cents,
        total_cents: event.total_cents,
        deposit_due_cents: event.deposit_due_cents,
        refund_due_cents: event.refund_due_cents,
        currency: event.currency,
        hold_expires_at: event.hold_expires_at.map(timestamp),
    }
}

fn instant_corrected(event: BookingInstantCorrected) -> events::BookingInstantCorrected {
    events::BookingInstantCorrected {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        previous_starts_at: Some(timestamp(event.previous_starts_at)),
        starts_at: Some(timestamp(event.starts_at)),
        ends_at: Some(timestamp(event.ends_at)),
        time_zone: event.time_zone,
        time_zone_rules: event.time_zone_rules,
        hold_expires_at: event.hold_expires_at.map(timestamp),
    }
}

fn cancelled(event: BookingCancelled) -> events::BookingCancelled {
    events::BookingCancelled {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        party_size: event.party_size,
        cancelled_by: event_initiator(event.cancelled_by).into(),
        paid_cents: event.paid_cents,
        refund_due_cents: event.refund_due_cents,
        currency: event.currency,
    }
}

fn expired(event: BookingExpired) -> events::BookingExpired {
    events::BookingExpired {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        party_size: event.party_size,
        hold_expired_at: Some(timestamp(event.hold_expired_at)),
        paid_cents: event.paid_cents,
        refund_due_cents: event.refund_due_cents,
        currency: event.currency,
        waitlist_entry_id: event.waitlist_entry_id.unwrap_or_default(),
    }
}

fn completed(event: BookingCompleted) -> events::BookingCompleted {
    events::BookingCompleted {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        party_size: event.party_size,
    }
}

fn no_show(event: BookingNoShow) -> events::BookingNoShow {
    events::BookingNoShow {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        conversation_id: event.conversation_id,
        party_size: event.party_size,
    }
}

fn offered(event: WaitlistOffered) -> events::WaitlistOffered {
    events::WaitlistOffered {
        booking_id: event.booking_id.to_string(),
        venue_id: event.venue_id.to_string(),
        date: event.date,
        start_time: event.start_time,
        booking_version: event.booking_version,
        status: event_status(event.status).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        waitlist_entry_id: event.waitlist_entry_id.to_string(),
        customer_id: event.customer_id.to_string(),
        conversation_id: event.conversation_id,
        party_size: event.party_size,
        offer_expires_at: Some(timestamp(event.offer_expires_at)),
        deposit_due_cents: event.deposit_due_cents,
        currency: event.currency,
    }
}
