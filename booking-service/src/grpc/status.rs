//! Maps the errors of every use case to gRPC statuses.

mod customer;
mod slot;
mod waitlist;

use teppan_shared::{
    contract::booking::v1::{self as wire, GetBookingRequest, ListBookingsRequest},
    read_error::{Corrupted, ReadError},
    status::{Failure, Violations},
};
use tonic::{Code, Status};

use super::{list_bookings, update_venue::Update};
use crate::{
    bookings::change::{BookingTarget, ChangeBookingError},
    bookings::create::CreateBookingError,
    bookings::list::ListBookingsError,
    domain::{
        BookingChange, BookingId, BookingStatus, ChangeRefusal, PhoneFault, SEATED_EARLY, SPECIAL_DAYS_MAX, SlotKey,
        VenueId,
    },
    event_stream::stream::StreamError,
    floors::set::SetFloorError,
    payments::move_money::MoneyRefusal,
    payments::record::RecordPaymentError,
    slots::set_weekly_schedule::SetScheduleError,
    slots::special_days::ChangeSpecialDaysError,
    venues::create::CreateVenueError,
    venues::update::UpdateVenueError,
};

use self::slot::{refused, slot_name};
pub use self::{
    customer::{erase_customer, export_customer, merge_customers, set_consent, update_customer},
    slot::update_slot,
    waitlist::{WAITLIST_ENTRY, join_waitlist, leave_waitlist},
};

/// A kind of resource: its name, and the error reason when it does not exist.
pub type Kind = (&'static str, &'static str);
pub const BOOKING: Kind = ("booking", "BOOKING_NOT_FOUND");
pub const CUSTOMER: Kind = ("customer", "CUSTOMER_NOT_FOUND");
pub const VENUE: Kind = ("venue", "VENUE_NOT_FOUND");

pub fn not_found((kind, reason): Kind, name: &str) -> Status {
    Failure::not_found(reason, kind, name).into()
}

pub fn get_booking(error: &ReadError, request: &GetBookingRequest) -> Status {
    let (name, message) = match (request.booking_id.as_str(), request.confirmation_code.as_str()) {
        (id, "") => (id, "No such booking: check booking_id, or give confirmation_code instead."),
        (_, code) => (code, "No such booking: check confirmation_code, or give booking_id instead."),
    };
    match error {
        ReadError::NotFound => Failure::not_found(BOOKING.1, BOOKING.0, name).with_message(message).into(),
        _ => read(error, BOOKING, name),
    }
}

pub fn read(error: &ReadError, kind: Kind, name: &str) -> Status {
    match error {
        ReadError::NotFound => not_found(kind, name),
        ReadError::Corrupted(error) => error.to_failure().into(),
        ReadError::Database(error) => error.to_failure().into(),
    }
}

pub fn create_booking(error: &CreateBookingError, slot: &SlotKey) -> Status {
    match error {
        CreateBookingError::KeyReused => key_reused(),
        CreateBookingError::Phone(fault) => phone(*fault),
        CreateBookingError::Refused(refusal) => refused(*refusal, slot),
        CreateBookingError::Contended => Failure::overloaded().into(),
        CreateBookingError::Corrupted(error) => error.to_failure().into(),
        CreateBookingError::Database(error) => error.to_failure().into(),
    }
}

pub fn change_booking(error: &ChangeBookingError, target: &BookingTarget) -> Status {
    let booking_id = target.booking_id.to_string();
    match error {
        ChangeBookingError::NotFound => not_found(BOOKING, &booking_id),
        ChangeBookingError::StaleEtag => etag_mismatch("booking"),
        ChangeBookingError::Refused { change, status, refusal, .. } => match refusal {
            ChangeRefusal::NotAllowed => {
                let (reason, message) = not_allowed(*change);
                change_refused(reason, message, &booking_id, *status)
            }
            ChangeRefusal::HoldExpired => {
                let message = "The hold has expired and its seats are released: make a new booking.";
                change_refused("HOLD_EXPIRED", message, &booking_id, *status)
            }
            ChangeRefusal::NotStarted => {
                let message = "The booking has not started: call again after its start, or cancel it.";
                change_refused("BOOKING_NOT_STARTED", message, &booking_id, *status)
            }
            ChangeRefusal::TooEarlyToSeat => {
                let message =
                    "A party is seated at most two hours before the start: call again later, or reschedule it.";
                failure_of_change("TOO_EARLY_TO_SEAT", message, &booking_id, *status)
                    .with("early_minutes", SEATED_EARLY.num_minutes())
                    .into()
            }
            ChangeRefusal::Seated => {
                let message = "The party was seated, so it has come: complete the booking, or take the seating back \
                               with SeatBooking and undo.";
                change_refused("BOOKING_SEATED", message, &booking_id, *status)
            }
            ChangeRefusal::UndoTimeOver { undo_minutes } => {
                let message = "The venue's undo_minutes are over: make a new booking.";
                failure_of_change("UNDO_TIME_OVER", message, &booking_id, *status)
                    .with("undo_minutes", undo_minutes)
                    .into()
            }
            ChangeRefusal::Erased => {
                let message = "The personal data of the booking was erased, and it gets none again.";
                change_refused("BOOKING_ERASED", message, &booking_id, *status)
            }
            ChangeRefusal::Phone(fault) => violation("booking.contact.phone", fault),
            ChangeRefusal::Unreachable => {
                violation("booking.contact", "must have an e-mail address or a telephone number after the change")
            }
            ChangeRefusal::EndOutOfRange => {
                violation("booking.ends_at", "must be after starts_at, and at most 24 hours after it")
            }
            ChangeRefusal::AlreadyOffered => {
                let message = "The customer already has an offer of the new slot: accept or leave that offer first.";
                change_refused("SLOT_ALREADY_OFFERED", message, &booking_id, *status)
            }
            // Only AssignTables is refused for its tables; see assign_tables.rs.
            ChangeRefusal::Tables(_) => {
                let (reason, message) = not_allowed(BookingChange::AssignTables);
                change_refused(reason, message, &booking_id, *status)
            }
            ChangeRefusal::Slot(slot, refusal) => refused(*refusal, slot),
        },
        ChangeBookingError::Contended => Failure::overloaded().into(),
        ChangeBookingError::Corrupted(error) => error.to_failure().into(),
        ChangeBookingError::Database(error) => error.to_failure().into(),
    }
}

fn change_refused(reason: &'static str, message: &str, booking_id: &str, status: BookingStatus) -> Status {
    failure_of_change(reason, message, booking_id, status).into()
}

fn failure_of_change(reason: &'static str, message: &str, booking_id: &str, status: BookingStatus) -> Failure {
    Failure::precondition(reason, format!("bookings/{booking_id}"), message)
        .with("status", wire::BookingStatus::from(status).as_str_name())
}

fn violation(field: &str, description: impl std::fmt::Display) -> Status {
    let mut violations = Violations::default();
    violations.add(field, description);
    violations.into_status()
}

/// The reason and the message when the booking's state does not allow a change.
fn not_allowed(change: BookingChange) -> (&'static str, &'static str) {
    match change {
        BookingChange::Confirm => (
            "BOOKING_NOT_CONFIRMABLE",
            "Only a PENDING booking can be confirmed: read the booking and check its status.",
        ),
        BookingChange::ConfirmByGuest => (
            "BOOKING_NOT_CONFIRMABLE",
            "A guest confirms only a CONFIRMED booking that has not ended; a PENDING one \
             is confirmed by its deposit or by the venue.",
        ),
        BookingChange::Cancel => (
            "BOOKING_NOT_CANCELLABLE",
            "Only a PENDING or CONFIRMED booking that has not started (for the venue: not ended) can be cancelled: \
             read it again.",
        ),
        BookingChange::Reschedule => (
            "BOOKING_NOT_RESCHEDULABLE",
            "Only a PENDING or CONFIRMED booking that has not started can be rescheduled: make a new booking instead.",
        ),
        BookingChange::Complete => (
            "BOOKING_NOT_COMPLETABLE",
            "Only a CONFIRMED booking can be completed: read the booking and check its status.",
        ),
        BookingChange::MarkNoShow => (
            "NO_SHOW_NOT_ALLOWED",
            "Only a CONFIRMED booking can be marked as a no-show: read the booking and check its status.",
        ),
        // The following are not calls: only the service makes these changes, and only where they are allowed.
        BookingChange::PayDeposit | BookingChange::RetakeSeats => {
            ("BOOKING_NOT_CONFIRMABLE", "Only a booking that waits for its deposit is confirmed by a payment.")
        }
        BookingChange::AssignTables => (
            "TABLES_NOT_ASSIGNABLE",
            "Only a PENDING or CONFIRMED booking has tables: read the booking and check its status.",
        ),
        BookingChange::Update => ("BOOKING_NOT_UPDATABLE", "The booking cannot be changed: read it again."),
        BookingChange::Reinstate => (
            "BOOKING_NOT_REINSTATABLE",
            "Only a CANCELLED, COMPLETED or NO_SHOW booking is reinstated, and one that was never confirmed only \
             before its start and if it was no offer: make a new booking.",
        ),
        BookingChange::Seat => (
            "BOOKING_NOT_SEATABLE",
            "Only the party of a CONFIRMED booking whose visit has not ended is seated: read the booking again.",
        ),
        BookingChange::CorrectInstant => {
            ("BOOKING_NOT_CORRECTABLE", "Only a booking that can still take place is corrected.")
        }
        BookingChange::Expire => ("BOOKING_NOT_EXPIRABLE", "Only a PENDING booking can expire."),
    }
}

pub fn record_payment(error: &RecordPaymentError, booking_id: BookingId) -> Status {
    match error {
        RecordPaymentError::BookingNotFound => not_found(BOOKING, &booking_id.to_string()),
        RecordPaymentError::KeyReused => key_reused(),
        RecordPaymentError::Refused(refusal) => money_refused(refusal, booking_id),
        RecordPaymentError::Contended => Failure::overloaded().into(),
        RecordPaymentError::Corrupted(error) => error.to_failure().into(),
        RecordPaymentError::Database(error) => error.to_failure().into(),
    }
}

fn money_refused(refusal: &MoneyRefusal, booking_id: BookingId) -> Status {
    let failure = |reason, message: &str| Failure::precondition(reason, format!("bookings/{booking_id}"), message);
    match refusal {
        MoneyRefusal::StaleEtag => etag_mismatch("booking"),
        MoneyRefusal::CurrencyMismatch { currency } => {
            failure("CURRENCY_MISMATCH", "The booking has another currency: record the amount in that currency.")
                .with("currency", currency)
                .into()
        }
        MoneyRefusal::RefundExceedsPaid { paid_cents } => {
            failure("REFUND_EXCEEDS_PAID", "A refund cannot exceed the paid amount: read the booking again.")
                .with("paid_cents", paid_cents)
                .into()
        }
        MoneyRefusal::Impossible(_) => Corrupted::Column("bookings.status").to_failure().into(),
    }
}

pub fn create_venue(error: &CreateVenueError) -> Status {
    match error {
        CreateVenueError::KeyReused => key_reused(),
        CreateVenueError::Contended => Failure::overloaded().into(),
        CreateVenueError::Database(error) => error.to_failure().into(),
    }
}

pub fn set_schedule(error: &SetScheduleError, venue_id: &str) -> Status {
    match error {
        SetScheduleError::Venue(error) => read(error, VENUE, venue_id),
        SetScheduleError::TooManySlots(error) => {
            let mut violations = Violations::default();
            violations.add("periods", error);
            violations.into_status()
        }
        SetScheduleError::Contended => Failure::overloaded().into(),
        SetScheduleError::Database(error) => error.to_failure().into(),
    }
}

pub fn set_floor(error: &SetFloorError, venue_id: VenueId) -> Status {
    match error {
        SetFloorError::Venue(error) => read(error, VENUE, &venue_id.to_string()),
        SetFloorError::StaleEtag => etag_mismatch("floor"),
        SetFloorError::AreaHasBookings { area } => Failure::precondition(
            "AREA_HAS_BOOKINGS",
            format!("venues/{venue_id}/areas/{area}"),
            "Upcoming bookings are in an area that the new floor does not have: keep the area until they have ended, or \
             move them to another one with RescheduleBooking.",
        )
        .with("area", area)
        .into(),
        SetFloorError::TableHasBookings { area, table } => Failure::precondition(
            "TABLE_HAS_BOOKINGS",
            format!("venues/{venue_id}/areas/{area}/tables/{table}"),
            "Upcoming bookings have a table that the new floor does not have: keep the table until they have ended, or \
             give them others with AssignTables.",
        )
        .with("area", area)
        .with("table", table)
        .into(),
        SetFloorError::Contended => Failure::overloaded().into(),
        SetFloorError::Database(error) => error.to_failure().into(),
    }
}

pub fn change_special_days(error: &ChangeSpecialDaysError, venue_id: &str) -> Status {
    match error {
        ChangeSpecialDaysError::Venue(error) => read(error, VENUE, venue_id),
        ChangeSpecialDaysError::TooManySpecialDays(_) => Failure::precondition(
            "TOO_MANY_SPECIAL_DAYS",
            format!("venues/{venue_id}"),
            "The venue has as many special days as it may have: delete some, or set one range instead of single dates.",
        )
        .with("special_days_max", SPECIAL_DAYS_MAX)
        .into(),
        ChangeSpecialDaysError::TooManySlots(error) => {
            let mut violations = Violations::default();
            violations.add("special_days.hours", error);
            violations.into_status()
        }
        ChangeSpecialDaysError::Contended => Failure::overloaded().into(),
        ChangeSpecialDaysError::Database(error) => error.to_failure().into(),
    }
}

pub fn update_venue(error: &UpdateVenueError, update: &Update) -> Status {
    let violation = |field: &str, description: &str| {
        let mut violations = Violations::default();
        violations.add(field, description);
        violations.into_status()
    };
    let venue = format!("venues/{}", update.venue_id);
    match error {
        UpdateVenueError::NotFound => not_found(VENUE, &update.venue_id.to_string()),
        UpdateVenueError::Stale => etag_mismatch("venue"),
        UpdateVenueError::HasSlots => Failure::precondition(
            "VENUE_HAS_SLOTS",
            venue,
            "The venue has slots, so its time zone and currency cannot change: create a new venue instead.",
        )
        .into(),
        UpdateVenueError::PartyRange if update.change.max_party_size.is_some() => {
            violation("venue.max_party_size", "must not be less than the venue's min_party_size")
        }
        UpdateVenueError::PartyRange => {
            violation("venue.min_party_size", "must not be more than the venue's max_party_size")
        }
        UpdateVenueError::Contended => Failure::overloaded().into(),
        UpdateVenueError::Corrupted(error) => error.to_failure().into(),
        UpdateVenueError::Database(error) => error.to_failure().into(),
        UpdateVenueError::Layout(error) => read(error, VENUE, &update.venue_id.to_string()),
    }
}

pub fn stream(error: &StreamError) -> Status {
    match error {
        StreamError::ForeignCursor => {
            let mut violations = Violations::default();
            violations.add(
                "after",
                "is the cursor of another database, or of this one before a restore: begin again without a cursor",
            );
            violations.into_status()
        }
        StreamError::FutureEvents => {
            tracing::error!(%error, "StreamBookingEvents cannot be served");
            Failure::data_corrupted().into()
        }
        StreamError::Read(error) => read(error, BOOKING, ""),
    }
}

pub fn list_bookings(error: &ListBookingsError, request: &ListBookingsRequest) -> Status {
    match error {
        ListBookingsError::Unreadable { position, source } => {
            let failure = source.to_failure_of_page(list_bookings::token(request, position));
            failure.with("booking_id", position.2).into()
        }
        ListBookingsError::Database(error) => error.to_failure().into(),
    }
}

/// The violation of a telephone number that was read by the venue's phone region.
fn phone(fault: PhoneFault) -> Status {
    let mut violations = Violations::default();
    violations.add("contact.phone", fault);
    violations.into_status()
}

fn etag_mismatch(kind: &str) -> Status {
    let message = format!(
        "The {kind} has changed since this etag was read: read it again, then decide whether to repeat the call."
    );
    Failure::new(Code::Aborted, "ETAG_MISMATCH", message).into()
}

fn key_reused() -> Status {
    Failure::invalid_argument(
        "IDEMPOTENCY_KEY_REUSED",
        "This idempotency_key was used for another request: use a new key for a new request, and send the same \
         request when you retry.",
    )
    .into()
}
