//! Chooses what to read after calls: what they can have changed, and what they must not have changed.

use std::{collections::BTreeSet, sync::Arc};

use teppan_shared::contract::booking::v1::{
    GetBookingRequest, GetFloorRequest, GetVenueRequest, ListAvailabilityRequest, ListPaymentsRequest,
};

use super::{
    calls::{Call, Reply},
    perform::Seen,
    state::{Booking, Model},
};

/// Everything that calls can have changed, or must not have changed.
#[derive(Default)]
pub struct Touched {
    bookings: BTreeSet<String>,
    days: BTreeSet<(String, String)>,
    venues: BTreeSet<String>,
    floors: BTreeSet<String>,
    /// Bookings whose payments can have grown in number.
    paid: BTreeSet<String>,
}

impl Touched {
    pub fn by<'a>(model: &Model, calls: impl Iterator<Item = &'a Call>, seen: impl Iterator<Item = &'a Seen>) -> Self {
        let mut touched = Self::default();
        for call in calls {
            match call {
                Call::CreateBooking(request) => {
                    touched.days.insert((request.venue_id.clone(), request.date.clone()));
                }
                Call::ConfirmBooking(request) => touched.booking(&request.booking_id),
                Call::CancelBooking(request) => touched.booking(&request.booking_id),
                Call::RescheduleBooking(request) => {
                    touched.booking(&request.booking_id);
                    let booking = model.booking(&request.booking_id).map(|n| &model.bookings[n].proto);
                    if let Some(booking) = booking.filter(|_| !request.date.is_empty()) {
                        touched.days.insert((booking.venue_id.clone(), request.date.clone()));
                    }
                }
                Call::CompleteBooking(request) => touched.booking(&request.booking_id),
                Call::MarkNoShow(request) => touched.booking(&request.booking_id),
                Call::ReinstateBooking(request) => touched.booking(&request.booking_id),
                Call::AssignTables(request) => touched.booking(&request.booking_id),
                Call::SeatBooking(request) => touched.booking(&request.booking_id),
                Call::UpdateBooking(request) => {
                    touched.booking(request.booking.as_ref().map_or("", |booking| &booking.booking_id));
                }
                Call::RecordPayment(request) => {
                    touched.booking(&request.booking_id);
                    touched.paid.insert(request.booking_id.clone());
                }
                Call::Stripe(event) => {
                    touched.booking(&event.booking_id);
                    touched.paid.insert(event.booking_id.clone());
                }
                Call::JoinWaitlist(request) => {
                    touched.days.insert((request.venue_id.clone(), request.date.clone()));
                }
                Call::LeaveWaitlist(request) => {
                    let of = |booking: &&Arc<Booking>| booking.proto.waitlist_entry_id == request.waitlist_entry_id;
                    let booking = model.bookings.iter().find(of).filter(|_| !request.waitlist_entry_id.is_empty());
                    if let Some(booking) = booking {
                        touched.booking(&booking.proto.booking_id);
                    }
                }
                Call::UpdateSlot(request) => {
                    let slot = request.slot.iter().map(|slot| (slot.venue_id.clone(), slot.date.clone()));
                    touched.days.extend(slot);
                }
                Call::UpdateVenue(request) => {
                    touched.venues.extend(request.venue.iter().map(|venue| venue.venue_id.clone()));
                }
                Call::SetWeeklySchedule(request) => {
                    touched.venues.insert(request.venue_id.clone());
                    touched.days.insert((request.venue_id.clone(), String::new()));
                }
                Call::SetFloor(request) => {
                    let venue_id = request.floor.as_ref().map_or_else(String::new, |floor| floor.venue_id.clone());
                    touched.days.insert((venue_id.clone(), String::new()));
                    touched.floors.insert(venue_id);
                }
                Call::GetBooking(_)
                | Call::ListPayments(_)
                | Call::ListWaitlist(_)
                | Call::ListBookings(_)
                | Call::GetVenue(_)
                | Call::GetFloor(_)
                | Call::ListFloor(_)
                | Call::ListAvailability(_)
                | Call::BatchCheckAvailability(_) => {}
            }
        }
        for seen in seen {
            seen.etags.iter().for_each(|seen| touched.booking(&seen.id));
            if let Ok(Reply::Booking(booking)) = &seen.answer {
                touched.days.insert((booking.venue_id.clone(), booking.date.clone()));
            }
        }
        let named = model.bookings.iter().filter(|booking| touched.bookings.contains(&booking.proto.booking_id));
        let days: Vec<_> = named.map(|booking| (booking.proto.venue_id.clone(), booking.proto.date.clone())).collect();
        touched.days.extend(days);
        touched
    }

    fn booking(&mut self, id: &str) {
        self.bookings.insert(id.to_owned());
    }

    pub fn reads(self, model: &Model) -> Vec<Call> {
        let bookings = self.bookings.into_iter().map(get);
        let known = |id: &str| model.venue(id).is_some();
        let days = self.days.iter().filter(|(venue, _)| known(venue)).map(|(venue, day)| availability(venue, day));
        let venues = self.venues.iter().map(|id| Call::GetVenue(GetVenueRequest { venue_id: id.clone() }));
        let floors = self.floors.into_iter().map(|venue_id| Call::GetFloor(GetFloorRequest { venue_id }));
        let paid = self.paid.into_iter().map(payments);
        bookings.chain(days).chain(venues).chain(floors).chain(paid).collect()
    }
}

pub fn get(booking_id: String) -> Call {
    Call::GetBooking(GetBookingRequest { booking_id, ..Default::default() })
}

fn payments(booking_id: String) -> Call {
    Call::ListPayments(ListPaymentsRequest { booking_id, page_size: 1000, ..Default::default() })
}

/// The slots of one day, or of all coming days.
pub fn availability(venue_id: &str, day: &str) -> Call {
    let (venue_id, from_date, to_date) = (venue_id.to_owned(), day.to_owned(), day.to_owned());
    Call::ListAvailability(ListAvailabilityRequest { venue_id, from_date, to_date, ..Default::default() })
}
