//! The life of a booking: its states, and what may be done in each.

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use super::SlotKey;

/// The state of a booking. PENDING and CONFIRMED bookings take seats.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum BookingStatus {
    Pending,
    Confirmed,
    Cancelled,
    Expired,
    Completed,
    NoShow,
}

/// What can be done to a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingChange {
    Confirm,
    Cancel,
    Reschedule,
    Complete,
    MarkNoShow,
    /// Only the service itself does it, when a hold has run out.
    Expire,
    /// A payment completes the deposit while the booking has its seats.
    PayDeposit,
    /// A payment completes the deposit after the hold ran out: the seats are taken again, if they are there.
    RetakeSeats,
    /// Only the service itself does it: by newer rules of the time zone the booking's local time is another instant.
    CorrectInstant,
}

impl BookingStatus {
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The state that a change leads to from this one; `None` where it is not allowed. This is the one
    /// place that says it.
    pub fn after(self, change: BookingChange) -> Option<Self> {
        use BookingChange as Change;
        match (self, change) {
            (Self::Pending, Change::Confirm | Change::PayDeposit) | (Self::Expired, Change::RetakeSeats) => {
                Some(Self::Confirmed)
            }
            (Self::Pending, Change::Expire) => Some(Self::Expired),
            (Self::Pending | Self::Confirmed, Change::Cancel) => Some(Self::Cancelled),
            (Self::Pending | Self::Confirmed, Change::Reschedule)
            // An expired one may still take its seats again.
            | (Self::Pending | Self::Confirmed | Self::Expired, Change::CorrectInstant) => Some(self),
            (Self::Confirmed, Change::Complete) => Some(Self::Completed),
            (Self::Confirmed, Change::MarkNoShow) => Some(Self::NoShow),
            _ => None,
        }
    }
}

impl BookingChange {
    /// The states from which this is allowed.
    pub fn allowed_from(self) -> Vec<BookingStatus> {
        BookingStatus::ALL.iter().copied().filter(|status| status.after(self).is_some()).collect()
    }

    /// Why this is not allowed in a state from which it leads nowhere. A hold that has run out is told as
    /// such, whether or not its seats are free yet.
    pub fn refused_in(self, status: BookingStatus) -> ChangeRefusal {
        match (self, status) {
            (Self::Confirm | Self::Reschedule, BookingStatus::Expired) => ChangeRefusal::HoldExpired,
            _ => ChangeRefusal::NotAllowed,
        }
    }
}

/// Who wants a booking cancelled.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum CancellationInitiator {
    Customer,
    Venue,
}

/// Why a booking cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRefusal {
    /// Not in this state, or no longer at this time.
    NotAllowed,
    HoldExpired,
    NotStarted,
    /// It is an offer, and its customer has another one of the slot it is to move to.
    AlreadyOffered,
    /// The slot it is to move to does not take it.
    Slot(SlotKey, super::Refusal),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_to_a_booking_that_has_ended() {
        use BookingChange as Change;
        let changes = [
            Change::Confirm,
            Change::Cancel,
            Change::Reschedule,
            Change::Complete,
            Change::MarkNoShow,
            Change::Expire,
            Change::PayDeposit,
        ];
        for ended in BookingStatus::ALL.iter().copied().skip(2) {
            assert!(changes.iter().all(|change| ended.after(*change).is_none()), "{ended:?}");
        }
    }

    #[test]
    fn only_a_hold_that_ran_out_is_taken_up_again() {
        assert_eq!(BookingChange::RetakeSeats.allowed_from(), [BookingStatus::Expired]);
        assert_eq!(BookingChange::PayDeposit.allowed_from(), [BookingStatus::Pending]);
    }
}
