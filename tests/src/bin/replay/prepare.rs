//! Creates the venues and their slots, before the first dialogue.

use std::sync::Arc;

use chrono::{NaiveDate, NaiveTime};
use teppan_shared::contract::booking::v1::{CreateVenueRequest, SchedulePeriod, SetWeeklyScheduleRequest, Weekday};
use teppan_tests::tool::Trace;

use crate::{
    Run,
    calls::{Caller, Failure, Method, request},
    concurrently,
    connections::Clients,
    plan::{PRICE_PER_PERSON_CENTS, PlannedVenue, ZONE},
    progress::Progress,
};

/// Creates every venue and its slots. Returns the ids in the order of the plan.
pub async fn venues(run: &Run) -> Result<Vec<String>, Failure> {
    let progress = Progress::start("Making venues", run.plan.venues.len());
    let made = concurrently::each(run.plan.venues.len(), run.concurrency, |index| {
        let (caller, clients, plan) = (run.caller.clone(), run.connections.of(index), Arc::clone(&run.plan));
        let progress = progress.clone();
        async move {
            let made = make(&caller, &clients, plan.run.key("venue", index), &plan.venues[index]).await;
            progress.advance(1);
            made
        }
    });
    let made = made.await;
    progress.finish();
    made.into_iter().collect()
}

async fn make(caller: &Caller, clients: &Clients, key: String, venue: &PlannedVenue) -> Result<String, Failure> {
    let trace = Trace::start();
    let create = CreateVenueRequest {
        idempotency_key: key,
        name: venue.name.clone(),
        time_zone: ZONE.to_owned(),
        currency: Some("USD".to_owned()),
        // Without a deposit: bookings are confirmed at once, and a follow-up is scheduled for each.
        deposit_percent: Some(0),
        ..Default::default()
    };
    let created = caller.call(Method::CreateVenue, || {
        let (mut schedule, create) = (clients.schedule.clone(), create.clone());
        async move { schedule.create_venue(request(trace, create)).await }
    });
    let venue_id = created.await?.venue.unwrap_or_default().venue_id;
    let set = SetWeeklyScheduleRequest { venue_id: venue_id.clone(), periods: periods(venue), exceptions: Vec::new() };
    let laid_out = caller.call(Method::SetWeeklySchedule, || {
        let (mut schedule, set) = (clients.schedule.clone(), set.clone());
        async move { schedule.set_weekly_schedule(request(trace, set)).await }
    });
    laid_out.await?;
    Ok(venue_id)
}

/// One period for each start time, from the first to the last booked date.
fn periods(venue: &PlannedVenue) -> Vec<SchedulePeriod> {
    let period = |(start, capacity): (NaiveTime, i32)| SchedulePeriod {
        days: (Weekday::Monday as i32..=Weekday::Sunday as i32).collect(),
        first_start: wire_time(start),
        last_start: wire_time(start),
        capacity,
        price_per_person_cents: PRICE_PER_PERSON_CENTS,
        valid_from: venue.first_date().as_ref().map(NaiveDate::to_string).unwrap_or_default(),
        valid_until: venue.last_date().as_ref().map(NaiveDate::to_string).unwrap_or_default(),
        ..Default::default()
    };
    venue.seats_by_start().into_iter().map(period).collect()
}

/// A time in the format of the contract.
pub fn wire_time(time: NaiveTime) -> String {
    time.format("%H:%M").to_string()
}
