//! Takes the steps of a case, and compares model and service after each.

use std::{collections::BTreeSet, fmt, sync::Arc};

use chrono::TimeDelta;
use teppan_shared::contract::booking::v1::{
    BookingOrder, BookingStatus, GetFloorRequest, GetVenueRequest, ListAvailabilityRequest, ListBookingsRequest,
    ListFloorRequest, PaymentKind,
};

use super::{
    audit::audit,
    calls::{Answer, Call, Refused, Reply},
    door::WALK_IN,
    events, floor_checks,
    operations::{Operation, Step, StripeSequence},
    orders::{Observed, explain},
    perform::Seen,
    plan::Planner,
    stage::Stage,
    state::Model,
    tally::Tally,
    touched::{Touched, availability, get},
    waitlist_work::WorkerStep,
};

/// A case: the same case makes the same calls.
#[derive(Debug, Clone)]
pub struct Case {
    /// The index of its start time.
    pub beginning: u8,
    /// The floor that each venue has at the start.
    pub floors: [u8; 2],
    pub steps: Vec<Step>,
    /// Whether the service's own audit runs at the end.
    pub audited: bool,
}

/// A disagreement of model and service.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The number of steps taken.
    pub steps: usize,
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "After {} steps model and service disagree.\n{}", self.steps, self.what)
    }
}

/// Runs a case on replicas of its own.
///
/// # Errors
/// The first disagreement.
pub async fn run(case: &Case) -> Result<Tally, Failure> {
    // Boxed by the caller: two replicas with all their settings are too large for its stack.
    Box::pin(take_steps(case)).await
}

async fn take_steps(case: &Case) -> Result<Tally, Failure> {
    let (stage, model) = Box::pin(Stage::start(case.beginning, case.floors))
        .await
        .map_err(|what| Failure { steps: 0, what: format!("At the start: {what}") })?;
    let mut run = Run { stage, model, planner: Planner::default(), tally: Tally::default() };
    let outcome = run.steps(case).await;
    run.stage.remove().await;
    outcome.map(|()| run.tally)
}

pub(super) struct Run {
    pub(super) stage: Stage,
    pub(super) model: Model,
    planner: Planner,
    tally: Tally,
}

impl Run {
    async fn steps(&mut self, case: &Case) -> Result<(), Failure> {
        for (n, step) in case.steps.iter().enumerate() {
            let taken = match step {
                Step::AtOnce { calls, sequence } => self.at_once(calls, sequence.as_ref()).await,
                Step::Pass { minutes } => self.pass(*minutes).await,
            };
            taken.map_err(|what| Failure { steps: n + 1, what })?;
        }
        let end = |what| Failure { steps: case.steps.len(), what };
        self.everything().await.map_err(end)?;
        if case.audited { audit(self.stage.url()).await.map_err(end) } else { Ok(()) }
    }

    /// Makes calls beside Stripe events. Once the events are applied, the result must be that of some order in which
    /// each call and event happens once.
    async fn at_once(&mut self, operations: &[Operation], sequence: Option<&StripeSequence>) -> Result<(), String> {
        let events = sequence.map(|sequence| self.planner.sequences.plan(&self.model, sequence)).unwrap_or_default();
        let times = sequence.map_or(0, |sequence| sequence.times);
        let alone = operations.len() + events.len() == 1;
        let planned = operations.iter().map(|operation| self.planner.plan(&self.model, operation, alone));
        let calls: Vec<_> = planned.filter(|call| events.is_empty() || !gives_back(call)).collect();
        let (seen, taken) = self.stage.beside_stripe(&calls, &events, times).await;
        self.tally.groups += usize::from(calls.len() + events.len() > 1);
        self.tally.again(events.len() * usize::from(times.saturating_sub(1)));
        if !calls.is_empty() && !events.is_empty() {
            self.tally.happened("Stripe", "beside calls");
        }
        let mut made: Vec<Observed> = calls.into_iter().zip(seen.iter().map(|seen| seen.answer.clone())).collect();
        for (call, answer) in &made {
            self.tally.count(call, answer);
        }
        for (event, taken) in events.iter().zip(taken) {
            self.tally.count(&Call::Stripe(event.clone()), &taken);
            made.extend(event.parts().into_iter().map(|part| (Call::Stripe(part), taken.clone())));
        }
        if !events.is_empty() {
            self.stage.stripe_is_applied().await?;
        }
        let mut after = self.offers(&seen).await?;
        let calls = made.iter().map(|(call, _)| call);
        let touched = Touched::by(&self.model, calls, seen.iter().chain(after.iter().map(|(_, seen)| seen)));
        after.extend(self.read(touched.reads(&self.model)).await);
        self.agree(&made, &seen, &after)
    }

    /// Moves the clock; the workers do what is due. The model does the same at once.
    async fn pass(&mut self, minutes: i64) -> Result<(), String> {
        // A little more than whole minutes, so that no hold ends at exactly this moment.
        self.model.pass(TimeDelta::minutes(minutes) + TimeDelta::milliseconds(1));
        self.stage.time.set(self.model.now);
        self.tally.passed();
        let mut after = Vec::new();
        for made in self.model.moves() {
            let WorkerStep::Expire { booking } = made else { continue };
            let call = get(self.model.bookings[booking].proto.booking_id.clone());
            let decided = |answer: &Answer| matches!(answer, Ok(Reply::Booking(booking)) if booking.status() != BookingStatus::Pending);
            let seen = self.stage.until(&call, decided).await;
            after.push((call, seen));
        }
        after.extend(self.offers(&[]).await?);
        for venue in self.model.venues.clone() {
            let call = availability(&venue.proto.venue_id, "");
            let expected = self.model.take(&call, &Err(Refused::not_found("")));
            // The new day within the horizon has its slots; the rest is compared below.
            let seen = self.stage.until(&call, |answer| slots(answer) == slots(&expected)).await;
            after.push((call, seen));
        }
        self.agree(&[], &[], &after)
    }

    /// Finds an order that explains the answers, and continues with its model.
    fn agree(&mut self, made: &[Observed], seen: &[Seen], after: &[(Call, Seen)]) -> Result<(), String> {
        let reads: Vec<Observed> = after.iter().map(|(call, seen)| (call.clone(), seen.answer.clone())).collect();
        let mut model = explain(&self.model, made, &reads)?;
        let etags = Arc::make_mut(&mut model.etags);
        for (call, seen) in after {
            if let (Call::GetVenue(request), Some(etag)) = (call, &seen.venue_etag) {
                let venue = model.venues.iter().find(|venue| venue.proto.venue_id == request.venue_id);
                let version = venue.and_then(|venue| i64::try_from(venue.changes).ok()).unwrap_or_default();
                let (id, etag) = (request.venue_id.clone(), etag.clone());
                etags.note(super::etags::SeenEtag { id, version, etag })?;
            }
        }
        let all = seen.iter().chain(after.iter().map(|(_, seen)| seen));
        all.flat_map(|seen| seen.etags.clone()).try_for_each(|seen| etags.note(seen))?;
        floor_checks::check(&self.model, &model)?;
        self.model = model;
        Ok(())
    }

    /// Reads concurrently: nothing changes between steps.
    async fn read(&mut self, calls: Vec<Call>) -> Vec<(Call, Seen)> {
        let seen = self.stage.at_once(&calls).await;
        calls.into_iter().zip(seen).collect()
    }

    /// Compares everything that can be read, at the end.
    async fn everything(&mut self) -> Result<(), String> {
        let mut calls = Vec::new();
        for venue in &self.model.venues {
            calls.push(Call::GetVenue(GetVenueRequest { venue_id: venue.proto.venue_id.clone() }));
            let first = venue.slots.keys().next().map_or_else(String::new, |(day, _)| day.to_string());
            let all = ListAvailabilityRequest { from_date: first, page_size: 2000, ..Default::default() };
            calls.push(Call::GetFloor(GetFloorRequest { venue_id: venue.proto.venue_id.clone() }));
            let (venue_id, window_minutes) = (venue.proto.venue_id.clone(), 1440);
            calls.push(Call::ListFloor(ListFloorRequest { venue_id, window_minutes, ..Default::default() }));
            calls.push(Call::ListAvailability(ListAvailabilityRequest {
                venue_id: venue.proto.venue_id.clone(),
                ..all
            }));
        }
        for order in [BookingOrder::EarliestFirst, BookingOrder::LatestFirst] {
            let list = ListBookingsRequest { page_size: 7, order: order.into(), ..Default::default() };
            calls.push(Call::ListBookings(list));
        }
        let after = self.read(calls).await;
        self.agree(&[], &[], &after)?;
        self.names()?;
        self.outcomes();
        events::compare(&self.model, self.stage.any_clients()).await
    }

    /// Adds the outcomes of events, bookings and entries to the summary.
    fn outcomes(&mut self) {
        for booking in &self.model.bookings {
            let kinds: Vec<_> = booking.history.iter().map(|(kind, _)| *kind).collect();
            for kind in &kinds {
                self.tally.happened("event", kind.trim_start_matches("teppan.").trim_end_matches(".v1"));
            }
            let expired = kinds.iter().position(|kind| *kind == "teppan.booking.expired.v1");
            for (is_so, how) in [
                (booking.proto.source == WALK_IN, "walk-in"),
                (booking.proto.tables.len() == 1, "at a table"),
                (booking.proto.tables.len() > 1, "at joined tables"),
                (booking.proto.seated_at.is_some(), "seated"),
                (booking.proto.guest_confirmed_at.is_some(), "confirmed by its guest"),
            ] {
                if is_so {
                    self.tally.happened("booking", how);
                }
            }
            if expired.is_some_and(|n| kinds[n..].contains(&"teppan.booking.confirmed.v1")) {
                self.tally.happened("booking", "seats retaken");
            }
        }
        for entry in &self.model.waitlist {
            let status = entry.proto.status().as_str_name().trim_start_matches("WAITLIST_ENTRY_STATUS_");
            self.tally.happened("waitlist entry", status);
            if !entry.proto.latest_start_time.is_empty() && !entry.proto.booking_id.is_empty() {
                self.tally.happened("waitlist entry", "part of a day offered");
            }
        }
    }

    /// Checks that the names that the service assigned are unique.
    fn names(&self) -> Result<(), String> {
        let bookings = || self.model.bookings.iter().map(|booking| &booking.proto);
        let ids: BTreeSet<_> = bookings().map(|booking| &booking.booking_id).collect();
        let codes: BTreeSet<_> = bookings().map(|booking| &booking.confirmation_code).collect();
        let customers: BTreeSet<_> = self.model.customers.values().collect();
        let counts = (ids.len(), codes.len(), customers.len());
        let expected = (self.model.bookings.len(), self.model.bookings.len(), self.model.customers.len());
        if counts == expected { Ok(()) } else { Err(format!("names are not unique: {counts:?} of {expected:?}")) }
    }
}

/// Whether a call refunds by hand. A Stripe refund might then exceed what is left, and would wait.
fn gives_back(call: &Call) -> bool {
    matches!(call, Call::RecordPayment(request) if request.kind() == PaymentKind::Refund)
}

fn slots(answer: &Answer) -> usize {
    if let Ok(Reply::Availability(listed)) = answer { listed.slots.len() } else { 0 }
}
