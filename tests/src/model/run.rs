//! Takes the steps of a case, and compares after each.

use std::{collections::BTreeSet, fmt, sync::Arc};

use chrono::TimeDelta;
use teppan_shared::contract::booking::v1::{
    BookingOrder, BookingStatus, GetBookingRequest, GetVenueRequest, ListAvailabilityRequest, ListBookingsRequest,
    ListPaymentsRequest,
};

use super::{
    calls::{Answer, Call, Refused, Reply},
    events,
    operations::{Operation, Step},
    orders::{Observed, explain},
    perform::Seen,
    plan::Planner,
    stage::Stage,
    state::Model,
    tally::Tally,
};

/// Everything that a case does: the same case makes the same calls.
#[derive(Debug, Clone)]
pub struct Case {
    /// At which of a few moments it begins.
    pub beginning: u8,
    pub steps: Vec<Step>,
}

/// Model and service disagree.
#[derive(Debug, Clone)]
pub struct Failure {
    /// After so many steps of the case.
    pub steps: usize,
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "After {} steps model and service disagree.\n{}", self.steps, self.what)
    }
}

/// Takes the steps of a case, on a stage of its own.
///
/// # Errors
/// The first disagreement.
pub async fn run(case: &Case) -> Result<Tally, Failure> {
    let (stage, model) =
        Stage::set(case.beginning).await.map_err(|what| Failure { steps: 0, what: format!("At the start: {what}") })?;
    let mut run = Run { stage, model, planner: Planner::default(), tally: Tally::default() };
    let outcome = run.steps(case).await;
    run.stage.strike().await;
    outcome.map(|()| run.tally)
}

struct Run {
    stage: Stage,
    model: Model,
    planner: Planner,
    tally: Tally,
}

impl Run {
    async fn steps(&mut self, case: &Case) -> Result<(), Failure> {
        for (n, step) in case.steps.iter().enumerate() {
            let taken = match step {
                Step::Calls(operations) => self.calls(operations).await,
                Step::Pass { minutes } => self.pass(*minutes).await,
            };
            taken.map_err(|what| Failure { steps: n + 1, what })?;
        }
        self.everything().await.map_err(|what| Failure { steps: case.steps.len(), what })
    }

    async fn calls(&mut self, operations: &[Operation]) -> Result<(), String> {
        let alone = operations.len() == 1;
        let planned = operations.iter().map(|operation| self.planner.plan(&self.model, operation, alone));
        let calls: Vec<_> = planned.collect();
        let seen = self.stage.at_once(&calls).await;
        let touched = Touched::by(&self.model, &calls, &seen);
        let after = self.read(touched.reads(&self.model)).await;
        let made: Vec<Observed> = calls.iter().cloned().zip(seen.iter().map(|seen| seen.answer.clone())).collect();
        for (call, answer) in &made {
            self.tally.count(call, answer);
        }
        self.tally.groups += usize::from(!alone);
        self.agree(&made, seen, after)
    }

    /// Time passes, and the workers do what is due: the model has it done at once.
    async fn pass(&mut self, minutes: i64) -> Result<(), String> {
        // A little more than whole minutes: no hold runs out just now.
        let expired = self.model.pass(TimeDelta::minutes(minutes) + TimeDelta::milliseconds(1));
        self.stage.time.set(self.model.now);
        self.tally.passed(expired.len());
        let mut after = Vec::new();
        for id in expired {
            let call = get(id);
            let decided = |answer: &Answer| matches!(answer, Ok(Reply::Booking(booking)) if booking.status() != BookingStatus::Pending);
            let seen = self.stage.until(&call, decided).await;
            after.push((call, seen));
        }
        for venue in self.model.venues.clone() {
            let call = availability(&venue.told.venue_id, "");
            let expected = self.model.take(&call, &Err(Refused::not_found("")));
            // The day that came within the horizon has its slots; what else is there is compared below.
            let seen = self.stage.until(&call, |answer| slots(answer) == slots(&expected)).await;
            after.push((call, seen));
        }
        self.agree(&[], Vec::new(), after)
    }

    /// Finds the order that explains what was seen, and goes on from there.
    fn agree(&mut self, made: &[Observed], seen: Vec<Seen>, after: Vec<(Call, Seen)>) -> Result<(), String> {
        let reads: Vec<Observed> = after.iter().map(|(call, seen)| (call.clone(), seen.answer.clone())).collect();
        self.model = explain(&self.model, made, &reads)?;
        let etags = Arc::make_mut(&mut self.model.etags);
        for (call, seen) in &after {
            if let (Call::GetVenue(request), Some(etag)) = (call, &seen.venue_etag) {
                let venue = self.model.venues.iter().find(|venue| venue.told.venue_id == request.venue_id);
                let version = venue.and_then(|venue| i64::try_from(venue.changes).ok()).unwrap_or_default();
                let (id, etag) = (request.venue_id.clone(), etag.clone());
                etags.note(super::etags::SeenEtag { id, version, etag })?;
            }
        }
        let all = seen.into_iter().chain(after.into_iter().map(|(_, seen)| seen));
        all.flat_map(|seen| seen.etags).try_for_each(|seen| etags.note(seen))
    }

    /// Reads at once: between steps nothing changes.
    async fn read(&mut self, calls: Vec<Call>) -> Vec<(Call, Seen)> {
        let seen = self.stage.at_once(&calls).await;
        calls.into_iter().zip(seen).collect()
    }

    /// At the end everything is compared that can be read.
    async fn everything(&mut self) -> Result<(), String> {
        let mut calls = Vec::new();
        for venue in &self.model.venues {
            calls.push(Call::GetVenue(GetVenueRequest { venue_id: venue.told.venue_id.clone() }));
            let first = venue.slots.keys().next().map_or_else(String::new, |(day, _)| day.to_string());
            let all = ListAvailabilityRequest { from_date: first, page_size: 2000, ..Default::default() };
            calls
                .push(Call::ListAvailability(ListAvailabilityRequest { venue_id: venue.told.venue_id.clone(), ..all }));
        }
        for order in [BookingOrder::EarliestFirst, BookingOrder::LatestFirst] {
            let list = ListBookingsRequest { page_size: 7, order: order.into(), ..Default::default() };
            calls.push(Call::ListBookings(list));
        }
        let after = self.read(calls).await;
        self.agree(&[], Vec::new(), after)?;
        self.names()?;
        events::compare(&self.model, self.stage.any_clients()).await
    }

    /// What the service gave names to has them alone.
    fn names(&self) -> Result<(), String> {
        let bookings = || self.model.bookings.iter().map(|booking| &booking.told);
        let ids: BTreeSet<_> = bookings().map(|booking| &booking.booking_id).collect();
        let codes: BTreeSet<_> = bookings().map(|booking| &booking.confirmation_code).collect();
        let customers: BTreeSet<_> = self.model.customers.values().collect();
        let counts = (ids.len(), codes.len(), customers.len());
        let expected = (self.model.bookings.len(), self.model.bookings.len(), self.model.customers.len());
        if counts == expected { Ok(()) } else { Err(format!("names are not unique: {counts:?} of {expected:?}")) }
    }
}

/// What calls can have changed, or must not have.
#[derive(Default)]
struct Touched {
    bookings: BTreeSet<String>,
    days: BTreeSet<(String, String)>,
    venues: BTreeSet<String>,
    /// Bookings whose payments can have become more.
    paid: BTreeSet<String>,
}

impl Touched {
    fn by(model: &Model, calls: &[Call], seen: &[Seen]) -> Self {
        let mut touched = Self::default();
        for (call, seen) in calls.iter().zip(seen) {
            match call {
                Call::CreateBooking(request) => {
                    touched.days.insert((request.venue_id.clone(), request.date.clone()));
                }
                Call::ConfirmBooking(request) => touched.booking(&request.booking_id),
                Call::CancelBooking(request) => touched.booking(&request.booking_id),
                Call::RescheduleBooking(request) => {
                    touched.booking(&request.booking_id);
                    let booking = model.booking(&request.booking_id).map(|n| &model.bookings[n].told);
                    if let Some(booking) = booking.filter(|_| !request.date.is_empty()) {
                        touched.days.insert((booking.venue_id.clone(), request.date.clone()));
                    }
                }
                Call::CompleteBooking(request) => touched.booking(&request.booking_id),
                Call::MarkNoShow(request) => touched.booking(&request.booking_id),
                Call::RecordPayment(request) => {
                    touched.booking(&request.booking_id);
                    touched.paid.insert(request.booking_id.clone());
                }
                Call::UpdateSlot(request) => {
                    touched.days.insert((request.venue_id.clone(), request.date.clone()));
                }
                Call::UpdateVenue(request) => {
                    touched.venues.extend(request.venue.iter().map(|venue| venue.venue_id.clone()));
                }
                Call::SetWeeklySchedule(request) => {
                    touched.venues.insert(request.venue_id.clone());
                    touched.days.insert((request.venue_id.clone(), String::new()));
                }
                Call::GetBooking(_)
                | Call::ListPayments(_)
                | Call::ListBookings(_)
                | Call::GetVenue(_)
                | Call::ListAvailability(_)
                | Call::BatchCheckAvailability(_) => {}
            }
            for seen in &seen.etags {
                touched.booking(&seen.id);
            }
        }
        let named = model.bookings.iter().filter(|booking| touched.bookings.contains(&booking.told.booking_id));
        let days: Vec<_> = named.map(|booking| (booking.told.venue_id.clone(), booking.told.date.clone())).collect();
        touched.days.extend(days);
        touched
    }

    fn booking(&mut self, id: &str) {
        self.bookings.insert(id.to_owned());
    }

    fn reads(self, model: &Model) -> Vec<Call> {
        let bookings = self.bookings.into_iter().map(get);
        let known = |id: &str| model.venue(id).is_some();
        let days = self.days.iter().filter(|(venue, _)| known(venue)).map(|(venue, day)| availability(venue, day));
        let venues = self.venues.iter().map(|id| Call::GetVenue(GetVenueRequest { venue_id: id.clone() }));
        let paid = self.paid.into_iter().map(payments);
        bookings.chain(days).chain(venues).chain(paid).collect()
    }
}

fn slots(answer: &Answer) -> usize {
    if let Ok(Reply::Availability(listed)) = answer { listed.slots.len() } else { 0 }
}

fn get(booking_id: String) -> Call {
    Call::GetBooking(GetBookingRequest { booking_id, ..Default::default() })
}

fn payments(booking_id: String) -> Call {
    Call::ListPayments(ListPaymentsRequest { booking_id, page_size: 1000, ..Default::default() })
}

/// The slots of a day, or of all days to come.
fn availability(venue_id: &str, day: &str) -> Call {
    let (venue_id, from_date, to_date) = (venue_id.to_owned(), day.to_owned(), day.to_owned());
    Call::ListAvailability(ListAvailabilityRequest { venue_id, from_date, to_date, ..Default::default() })
}
