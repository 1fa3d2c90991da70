//! Adds the nearest bookable starts to the errors that refuse a booking because of its slot.

use teppan_shared::status::with_detail;
use tonic::Status;

use super::{Grpc, status, suggest_slots};
use crate::{
    bookings::{change::ChangeBookingError, create::CreateBookingError, reschedule::Reschedule},
    domain::{ChangeRefusal, PartySize, SlotKey, Terms},
};

const ALTERNATIVES: &str = "teppan.booking.v1.Alternatives";

impl Grpc {
    pub(super) async fn refuse_creation(
        &self,
        error: &CreateBookingError,
        slot: SlotKey,
        party_size: PartySize,
        is_walk_in: bool,
    ) -> Status {
        let status = status::create_booking(error, &slot);
        // A party at the door owes the price of its guests only.
        let terms = is_walk_in.then(Terms::default);
        match error {
            CreateBookingError::Refused(refusal) if refusal.has_alternatives() => {
                self.with_alternatives(status, slot, party_size.get(), None, terms).await
            }
            _ => status,
        }
    }

    pub(super) async fn refuse_reschedule(&self, error: &ChangeBookingError, wish: &Reschedule) -> Status {
        let status = status::change_booking(error, &wish.target);
        match error {
            ChangeBookingError::Refused { refusal: ChangeRefusal::Slot(slot, refusal), held, .. }
                if refusal.has_alternatives() =>
            {
                let party_size = wish.party_size.map_or(held.party_size, PartySize::get);
                self.with_alternatives(status, *slot, party_size, Some(held.slot), held.terms).await
            }
            _ => status,
        }
    }

    async fn with_alternatives(
        &self,
        status: Status,
        refused: SlotKey,
        party_size: i32,
        current: Option<SlotKey>,
        terms: Option<Terms>,
    ) -> Status {
        match self.slots.alternatives(refused, party_size, current, terms).await {
            Some(found) => with_detail(status, ALTERNATIVES, &suggest_slots::encode_alternatives(&found)),
            None => status,
        }
    }
}
