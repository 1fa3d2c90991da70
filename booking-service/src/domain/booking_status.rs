//! The states of a booking, and the changes that each state allows.

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

/// A change of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingChange {
    Confirm,
    /// The guest says that the party comes.
    ConfirmByGuest,
    Cancel,
    Reschedule,
    Complete,
    MarkNoShow,
    /// Done only by the service, when a hold has run out.
    Expire,
    /// A payment completes the deposit while the booking has its seats.
    PayDeposit,
    /// A payment completes the deposit after the hold ran out: the seats are taken again if they are free.
    RetakeSeats,
    /// The contact, wishes, notes or tags change, in any state.
    Update,
    /// The venue gives the booking other tables.
    AssignTables,
    /// The venue takes back a cancellation, a completion or a no-show.
    Reinstate,
    /// The party is seated, or is not after all.
    Seat,
    /// Done only by the service: by newer time zone rules, the booking's local time is another instant.
    CorrectInstant,
}

impl BookingStatus {
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The state after a change; `None` if this state does not allow the change. Every other check uses this table.
    pub fn after(self, change: BookingChange) -> Option<Self> {
        use BookingChange as Change;
        match (self, change) {
            (Self::Pending, Change::Confirm | Change::PayDeposit) | (Self::Expired, Change::RetakeSeats) => {
                Some(Self::Confirmed)
            }
            (Self::Pending, Change::Expire) => Some(Self::Expired),
            (Self::Pending | Self::Confirmed, Change::Cancel) => Some(Self::Cancelled),
            (Self::Pending | Self::Confirmed, Change::Reschedule | Change::AssignTables)
            // An expired booking may still take its seats again.
            | (Self::Pending | Self::Confirmed | Self::Expired, Change::CorrectInstant)
            | (Self::Confirmed, Change::ConfirmByGuest | Change::Seat) => Some(self),
            (any, Change::Update) => Some(any),
            // PENDING if it was cancelled before it was confirmed.
            (Self::Cancelled | Self::Completed | Self::NoShow, Change::Reinstate) => Some(Self::Confirmed),
            (Self::Confirmed, Change::Complete) => Some(Self::Completed),
            (Self::Confirmed, Change::MarkNoShow) => Some(Self::NoShow),
            _ => None,
        }
    }
}

impl BookingChange {
    /// The states that allow this change.
    pub fn allowed_from(self) -> Vec<BookingStatus> {
        BookingStatus::ALL.iter().copied().filter(|status| status.after(self).is_some()).collect()
    }

    /// The reason why this state does not allow the change. A hold that has run out has its own reason, whether or not
    /// its seats are free yet.
    pub fn refused_in(self, status: BookingStatus) -> ChangeRefusal {
        match (self, status) {
            (Self::Confirm | Self::ConfirmByGuest | Self::Reschedule, BookingStatus::Expired) => {
                ChangeRefusal::HoldExpired
            }
            _ => ChangeRefusal::NotAllowed,
        }
    }
}

/// The party on whose wish a booking is cancelled.
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
    /// The state does not allow it, or the slot has started.
    NotAllowed,
    HoldExpired,
    NotStarted,
    /// The party cannot be seated that long before the start.
    TooEarlyToSeat,
    /// The party was seated, so it has come.
    Seated,
    /// The time in which a change can be taken back is over.
    UndoTimeOver {
        undo_minutes: i32,
    },
    /// The personal data of the booking was erased.
    Erased,
    /// The telephone number cannot be read with the venue's region.
    Phone(super::PhoneFault),
    /// The contact would have neither an e-mail address nor a telephone number.
    Unreachable,
    /// The visit would not end after its start, or more than a day after it.
    EndOutOfRange,
    /// The booking is a waitlist offer, and its customer already has an offer of the new slot.
    AlreadyOffered,
    /// The tables cannot be assigned.
    Tables(TableRefusal),
    /// The new slot cannot take the booking.
    Slot(SlotKey, super::Refusal),
}

/// Why tables cannot be assigned. Positions are those in the request, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableRefusal {
    NotFound {
        positions: u64,
    },
    /// Another booking has them during the visit.
    Taken {
        positions: u64,
    },
    /// The area has no tables.
    NoTables,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_expired_completed_or_no_show_booking_allows_no_change() {
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
    fn an_ended_booking_can_be_reinstated_but_not_an_expired_one() {
        use BookingStatus::{Cancelled, Completed, NoShow};
        assert_eq!(BookingChange::Reinstate.allowed_from(), [Cancelled, Completed, NoShow]);
        assert_eq!(BookingChange::Update.allowed_from(), BookingStatus::ALL);
    }

    #[test]
    fn only_an_expired_booking_can_take_its_seats_again() {
        assert_eq!(BookingChange::RetakeSeats.allowed_from(), [BookingStatus::Expired]);
        assert_eq!(BookingChange::PayDeposit.allowed_from(), [BookingStatus::Pending]);
    }
}
