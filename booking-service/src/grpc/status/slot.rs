//! Maps the errors about a slot to gRPC statuses.

use chrono::SecondsFormat;
use teppan_shared::status::Failure;
use tonic::Status;

use super::{Kind, VENUE, not_found};
use crate::{
    domain::{Refusal, SlotKey},
    grpc::encode,
    slots::update::UpdateSlotError,
};

const SLOT: Kind = ("slot", "SLOT_NOT_FOUND");

pub fn update_slot(error: &UpdateSlotError, key: SlotKey) -> Status {
    match error {
        UpdateSlotError::VenueNotFound => not_found(VENUE, &key.venue_id.to_string()),
        UpdateSlotError::SlotNotFound => slot_not_found(key),
        UpdateSlotError::CapacityBelowReserved { capacity, reserved } => Failure::precondition(
            "CAPACITY_BELOW_RESERVED",
            slot_name(key),
            "The slot has more reserved seats than this capacity: set at least reserved_seats, or move bookings first. \
             To prevent new bookings, close the slot.",
        )
        .with("capacity", capacity)
        .with("reserved_seats", reserved)
        .into(),
        UpdateSlotError::Contended => Failure::overloaded().into(),
        UpdateSlotError::Corrupted(error) => error.to_failure().into(),
        UpdateSlotError::Database(error) => error.to_failure().into(),
    }
}

pub(super) fn refused(refusal: Refusal, key: &SlotKey) -> Status {
    let slot = slot_name(*key);
    let failure = |reason, message: &str| Failure::precondition(reason, &slot, message);
    match refusal {
        Refusal::VenueNotFound => return not_found(VENUE, &key.venue_id.to_string()),
        Refusal::SlotNotFound => return slot_not_found(*key),
        Refusal::SlotClosed => failure("SLOT_CLOSED", "The slot is closed: choose another slot from ListAvailability."),
        Refusal::SlotFull { open_seats } => {
            failure("SLOT_FULL", "The slot does not have enough open seats: choose another slot or a smaller party.")
                .with("open_seats", open_seats)
                .with("limit", "slot")
        }
        Refusal::AreaNotFound => {
            let message = "The venue's floor has no such area: GetFloor lists its areas.";
            return Failure::not_found("AREA_NOT_FOUND", "area", &slot).with_message(message).into();
        }
        Refusal::AreaFull { open_seats } => failure(
            "SLOT_FULL",
            "No area has the seats for the whole visit: choose another slot, another area or a smaller party.",
        )
        .with("open_seats", open_seats)
        .with("limit", "area"),
        Refusal::InsufficientNotice { notice_minutes } => {
            failure("INSUFFICIENT_NOTICE", "The slot starts too soon for this venue: choose a later slot.")
                .with("notice_minutes", notice_minutes)
        }
        Refusal::TooFarAhead { horizon_days } => {
            failure("TOO_FAR_AHEAD", "The venue does not accept bookings that far ahead: choose an earlier date.")
                .with("horizon_days", horizon_days)
        }
        Refusal::PartyTooSmall { min_party_size } => {
            failure("PARTY_TOO_SMALL", "The venue does not accept parties that small.")
                .with("min_party_size", min_party_size)
        }
        Refusal::PartyTooLarge { max_party_size } => failure(
            "PARTY_TOO_LARGE",
            "The venue does not accept parties that large: split the party, or ask the venue.",
        )
        .with("max_party_size", max_party_size),
        Refusal::PriceChanged { total_cents } => failure(
            "PRICE_CHANGED",
            "The price differs from expected_total_cents: give the customer the new price, then book with it.",
        )
        .with("total_cents", total_cents),
        Refusal::Duplicate(other) => Failure::precondition(
            "DUPLICATE_BOOKING",
            format!("bookings/{}", other.booking_id),
            "The customer has another booking at this venue at that time: ask whether both are wanted, then repeat the \
             call with allow_duplicate, or change the other booking.",
        )
        .with("booking_id", other.booking_id)
        .with("starts_at", other.starts_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
    }
    .into()
}

/// A slot has no id, so the message repeats the fields that name it.
fn slot_not_found(slot: SlotKey) -> Status {
    let message = format!(
        "The venue {} has no slot with the date {} and the start_time {}: ListAvailability lists its slots from today \
         on.",
        slot.venue_id,
        encode::date(slot.date),
        encode::time(slot.start_time)
    );
    Failure::not_found(SLOT.1, SLOT.0, slot_name(slot)).with_message(message).into()
}

pub(super) fn slot_name(slot: SlotKey) -> String {
    format!("venues/{}/slots/{}T{}", slot.venue_id, encode::date(slot.date), encode::time(slot.start_time))
}
