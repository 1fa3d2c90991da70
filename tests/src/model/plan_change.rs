//! Turns changes of a booking into calls.

use chrono::TimeDelta;
use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    AssignTablesRequest, Booking, CancelBookingRequest, CancellationInitiator, CompleteBookingRequest,
    ConfirmBookingRequest, MarkNoShowRequest, ReinstateBookingRequest, RescheduleBookingRequest, SeatBookingRequest,
    UpdateBookingRequest,
};
use teppan_shared::wire::timestamp;

use super::{
    calls::Call,
    floor_plans::TABLES,
    names::{area, day_of, etag, expected_total, id, pick},
    operations::{Change, Wish},
    schedules::STARTS,
    state::{Model, moment},
};

pub(super) fn plan_change(model: &Model, change: &Change) -> Call {
    let booking = pick(model, change.booking);
    let booking_id = id(booking);
    let etag = booking.map_or_else(String::new, |booking| etag(model, &booking_id, booking.proto.version, change.etag));
    match &change.wish {
        Wish::Confirm => Call::ConfirmBooking(ConfirmBookingRequest { booking_id, etag, ..Default::default() }),
        &Wish::Cancel { by_venue } => {
            let by = initiator(by_venue);
            Call::CancelBooking(CancelBookingRequest {
                booking_id,
                etag,
                cancelled_by: by.into(),
                validate_only: false,
            })
        }
        &Wish::Reschedule { day, start, party_size, expected, allow_duplicate, by_venue, area: wanted } => {
            let venue = booking.and_then(|booking| model.venue(&booking.proto.venue_id)).map(|n| &model.venues[n]);
            let date = day.zip(venue).map_or_else(String::new, |(day, venue)| day_of(model, venue, day));
            let start_time = start.map_or_else(String::new, |start| STARTS[usize::from(start)].to_owned());
            let expected_total_cents = booking.and_then(|booking| {
                let date = if date.is_empty() { &booking.proto.date } else { &date };
                let start = if start_time.is_empty() { &booking.proto.start_time } else { &start_time };
                let party_size = party_size.unwrap_or(booking.proto.party_size);
                expected_total(model, &booking.proto.venue_id, (date, start), party_size, expected)
            });
            let request = RescheduleBookingRequest {
                area: wanted.map_or_else(String::new, area),
                booking_id,
                etag,
                date,
                start_time,
                party_size,
                expected_total_cents,
                allow_duplicate,
                rescheduled_by: initiator(by_venue).into(),
                ..Default::default()
            };
            Call::RescheduleBooking(request)
        }
        Wish::Complete => Call::CompleteBooking(CompleteBookingRequest { booking_id, etag, validate_only: false }),
        &Wish::NoShow { waive_fee } => {
            Call::MarkNoShow(MarkNoShowRequest { booking_id, etag, validate_only: false, waive_fee })
        }
        Wish::Reinstate => Call::ReinstateBooking(ReinstateBookingRequest { booking_id, etag, validate_only: false }),
        Wish::Tables { area: wanted, tables } => Call::AssignTables(AssignTablesRequest {
            booking_id,
            etag,
            area: wanted.map_or_else(String::new, area),
            tables: tables.iter().map(|&n| TABLES[usize::from(n) % TABLES.len()].to_owned()).collect(),
            validate_only: false,
        }),
        &Wish::Seat { undo } => Call::SeatBooking(SeatBookingRequest { booking_id, etag, undo, validate_only: false }),
        Wish::GuestConfirms => {
            let confirmed_by_guest = true;
            Call::ConfirmBooking(ConfirmBookingRequest { booking_id, etag, confirmed_by_guest, validate_only: false })
        }
        &Wish::Leaves { minutes } => {
            let starts_at = booking.and_then(|booking| booking.proto.starts_at.as_ref()).map_or(model.now, moment);
            let ends_at = Some(timestamp(starts_at + TimeDelta::minutes(minutes)));
            update(Booking { booking_id, ends_at, ..Default::default() }, "ends_at", etag)
        }
        Wish::Note(n) => {
            let venue_notes = format!("note {n}");
            update(Booking { booking_id, venue_notes, ..Default::default() }, "venue_notes", etag)
        }
    }
}

fn update(booking: Booking, field: &str, etag: String) -> Call {
    Call::UpdateBooking(Box::new(UpdateBookingRequest {
        booking: Some(booking),
        update_mask: Some(FieldMask { paths: vec![field.to_owned()] }),
        etag,
        validate_only: false,
    }))
}

fn initiator(by_venue: bool) -> CancellationInitiator {
    if by_venue { CancellationInitiator::Venue } else { CancellationInitiator::Customer }
}
