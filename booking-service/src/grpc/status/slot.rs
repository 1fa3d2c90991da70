//! What a client is told of a slot.

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
            "More seats are reserved than the slot would have: keep at least as many, or move bookings first. Closing \
             the slot keeps new ones away.",
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
        Refusal::SlotClosed => {
            failure("SLOT_CLOSED", "The slot is closed: choose another; ListAvailability shows them.")
        }
        Refusal::SlotFull { open_seats } => {
            failure("SLOT_FULL", "The slot has not enough open seats: choose another slot or a smaller party.")
                .with("open_seats", open_seats)
        }
        Refusal::InsufficientNotice { notice_minutes } => {
            failure("INSUFFICIENT_NOTICE", "The slot starts too soon for this venue: choose a later one.")
                .with("notice_minutes", notice_minutes)
        }
        Refusal::TooFarAhead { horizon_days } => {
            failure("TOO_FAR_AHEAD", "The venue does not take bookings that far ahead: choose an earlier date.")
                .with("horizon_days", horizon_days)
        }
        Refusal::PartyTooSmall { min_party_size } => {
            failure("PARTY_TOO_SMALL", "The venue does not take parties that small.")
                .with("min_party_size", min_party_size)
        }
        Refusal::PartyTooLarge { max_party_size } => {
            failure("PARTY_TOO_LARGE", "The venue does not take parties that large: split it, or ask the venue.")
                .with("max_party_size", max_party_size)
        }
        Refusal::PriceChanged { total_cents } => failure(
            "PRICE_CHANGED",
            "The price is no longer the one expected: tell the customer the new one, then book with it.",
        )
        .with("total_cents", total_cents),
    }
    .into()
}

/// A slot has no id that could be checked: what names it is said.
fn slot_not_found(slot: SlotKey) -> Status {
    let message = format!(
        "The venue {} has no slot with the date {} and the start_time {}: ListAvailability lists those it has, from \
         today on.",
        slot.venue_id,
        encode::date(slot.date),
        encode::time(slot.start_time)
    );
    Failure::not_found(SLOT.1, SLOT.0, slot_name(slot)).saying(message).into()
}

pub(super) fn slot_name(slot: SlotKey) -> String {
    format!("venues/{}/slots/{}T{}", slot.venue_id, encode::date(slot.date), encode::time(slot.start_time))
}
