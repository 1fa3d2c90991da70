//! Makes calls to the real service.

use teppan_shared::contract::booking::v1::{Booking, Floor, GetVenueResponse, ListBookingsRequest, Venue};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{
    calls::{Answer, Call, Refused, Reply},
    etags::SeenEtag,
    stripe::canonical,
};
use crate::clients::BookingClients;

/// The metadata of refusals that the contract names.
const METADATA: [&str; 11] = [
    "open_seats",
    "limit",
    "tables",
    "early_minutes",
    "total_cents",
    "status",
    "capacity",
    "reserved_seats",
    "paid_cents",
    "undo_minutes",
    "booking_id",
];

/// An answer, and the etags of its bookings.
#[derive(Debug, Clone)]
pub struct Seen {
    pub answer: Answer,
    pub etags: Vec<SeenEtag>,
    /// The id and etag of a venue. The wire has no version of a venue.
    pub venue_etag: Option<String>,
}

pub async fn perform(mut clients: BookingClients, call: &Call) -> Seen {
    let reply = reply(&mut clients, call.clone()).await;
    let mut seen = Seen { answer: reply.map_err(|status| refused(&status)), etags: Vec::new(), venue_etag: None };
    match &mut seen.answer {
        Ok(Reply::Venue(venue)) => seen.venue_etag = Some(cut_venue(venue)),
        Ok(Reply::VenueAndSchedule(response)) => seen.venue_etag = response.venue.as_mut().map(cut_venue),
        Ok(reply) => seen.etags.extend(reply.bookings().map(cut)),
        Err(_) => {}
    }
    seen
}

async fn reply(clients: &mut BookingClients, call: Call) -> Result<Reply, Status> {
    let BookingClients { bookings, payments, schedule, .. } = clients;
    Ok(match call {
        Call::CreateBooking(request) => Reply::Created(bookings.create_booking(request).await?.into_inner()),
        Call::ConfirmBooking(request) => booking(bookings.confirm_booking(request).await?.into_inner().booking),
        Call::CancelBooking(request) => booking(bookings.cancel_booking(request).await?.into_inner().booking),
        Call::RescheduleBooking(request) => booking(bookings.reschedule_booking(request).await?.into_inner().booking),
        Call::CompleteBooking(request) => booking(bookings.complete_booking(request).await?.into_inner().booking),
        Call::MarkNoShow(request) => booking(bookings.mark_no_show(request).await?.into_inner().booking),
        Call::ReinstateBooking(request) => booking(bookings.reinstate_booking(request).await?.into_inner().booking),
        Call::UpdateBooking(request) => booking(bookings.update_booking(*request).await?.into_inner().booking),
        Call::AssignTables(request) => booking(bookings.assign_tables(request).await?.into_inner().booking),
        Call::SeatBooking(request) => booking(bookings.seat_booking(request).await?.into_inner().booking),
        Call::GetBooking(request) => booking(bookings.get_booking(request).await?.into_inner().booking),
        Call::ListBookings(request) => Reply::Bookings(pages(clients, request).await?),
        Call::RecordPayment(request) => Reply::Paid(payments.record_payment(request).await?.into_inner()),
        Call::ListPayments(request) => {
            let mut payments = payments.list_payments(request).await?.into_inner().payments;
            canonical(&mut payments);
            Reply::Payments(payments)
        }
        Call::Stripe(event) => return Err(Status::unimplemented(format!("{event:?} is sent to the webhook"))),
        Call::JoinWaitlist(request) => Reply::Joined(bookings.join_waitlist(request).await?.into_inner()),
        Call::LeaveWaitlist(request) => {
            Reply::Waits(bookings.leave_waitlist(request).await?.into_inner().entry.unwrap_or_default())
        }
        Call::ListWaitlist(mut request) => {
            let mut all = Vec::new();
            loop {
                let page = bookings.list_waitlist(request.clone()).await?.into_inner();
                all.extend(page.entries);
                if page.next_page_token.is_empty() {
                    return Ok(Reply::Waitlist(all));
                }
                request.page_token = page.next_page_token;
            }
        }
        Call::UpdateSlot(request) => {
            Reply::Slot(schedule.update_slot(request).await?.into_inner().slot.unwrap_or_default())
        }
        Call::UpdateVenue(request) => {
            Reply::Venue(schedule.update_venue(request).await?.into_inner().venue.unwrap_or_default())
        }
        Call::SetWeeklySchedule(request) => Reply::LaidOut(schedule.set_weekly_schedule(request).await?.into_inner()),
        Call::SetFloor(request) => {
            let mut done = schedule.set_floor(request).await?.into_inner();
            done.floor.iter_mut().for_each(cut_floor);
            Reply::FloorSet(done)
        }
        Call::GetFloor(request) => {
            let mut floor = schedule.get_floor(request).await?.into_inner().floor.unwrap_or_default();
            cut_floor(&mut floor);
            Reply::Floor(floor)
        }
        Call::ListFloor(request) => Reply::Parties(Box::new(bookings.list_floor(request).await?.into_inner())),
        Call::GetVenue(request) => {
            let response: GetVenueResponse = schedule.get_venue(request).await?.into_inner();
            Reply::VenueAndSchedule(Box::new(response))
        }
        Call::ListAvailability(request) => Reply::Availability(schedule.list_availability(request).await?.into_inner()),
        Call::BatchCheckAvailability(request) => {
            Reply::Checks(schedule.batch_check_availability(request).await?.into_inner().checks)
        }
    })
}

fn booking(booking: Option<Booking>) -> Reply {
    Reply::Booking(booking.unwrap_or_default())
}

async fn pages(clients: &mut BookingClients, mut request: ListBookingsRequest) -> Result<Vec<Booking>, Status> {
    let mut all = Vec::new();
    loop {
        let page = clients.bookings.list_bookings(request.clone()).await?.into_inner();
        all.extend(page.bookings);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

fn refused(status: &Status) -> Refused {
    let (reason, metadata) = match status.get_details_error_info() {
        Some(info) => (info.reason, info.metadata),
        // Not an error of the service: only its text identifies it.
        None => (status.message().to_owned(), std::collections::HashMap::new()),
    };
    let metadata = metadata.into_iter().filter(|(name, _)| METADATA.contains(&name.as_str())).collect();
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    let fields = violations.into_iter().flatten().map(|violation| violation.field).collect();
    Refused { code: status.code(), reason, metadata, fields }
}

fn cut(booking: &mut Booking) -> SeenEtag {
    let etag = std::mem::take(&mut booking.etag);
    SeenEtag { id: booking.booking_id.clone(), version: booking.version, etag }
}

/// Floors are not compared by etag.
fn cut_floor(floor: &mut Floor) {
    floor.etag.clear();
}

fn cut_venue(venue: &mut Venue) -> String {
    std::mem::take(&mut venue.etag)
}
