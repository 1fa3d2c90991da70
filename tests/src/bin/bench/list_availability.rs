//! ListAvailability, both ways: the slots of a week of the measured venue.

use chrono::NaiveDate;
use rand::Rng as _;
use teppan_shared::contract::booking::v1::{ListAvailabilityRequest, schedule_service_client::ScheduleServiceClient};
use tonic::transport::Channel;

use crate::{
    error::BenchError,
    pgbench::Script,
    stage::{DAYS, SLOTS_A_DAY, date_of},
};

pub const STATEMENT: &str = include_str!("../../../../booking-service/src/slots/list_availability.sql");
const WEEK_DAYS: usize = 7;
const PARTY_SIZE: i32 = 2;
const PAGE_SIZE: i32 = 500;
/// A week that begins on a later day would end after the last slot.
const FIRST_DAY_MAX: usize = DAYS - WEEK_DAYS;

/// What stands for each parameter of the statement but the first, which is the venue.
pub const PARAMETERS: [&str; 9] = [
    ":from::date + :day::integer",
    ":from::date + :day::integer + :more_days::integer",
    "NULL::date",
    "NULL::time",
    ":party_size::integer",
    ":bookable_only::boolean",
    ":limit::bigint",
    "now()",
    ":days_max::integer",
];

/// One call: a week from any day on.
pub async fn call(venue_id: String, first_date: NaiveDate, channel: Channel) -> Result<(), BenchError> {
    let day = rand::rng().random_range(0..=FIRST_DAY_MAX);
    let request = ListAvailabilityRequest {
        venue_id,
        from_date: date_of(first_date, day * SLOTS_A_DAY).to_string(),
        to_date: date_of(first_date, (day + WEEK_DAYS - 1) * SLOTS_A_DAY).to_string(),
        party_size: PARTY_SIZE,
        page_size: PAGE_SIZE,
        ..Default::default()
    };
    let reply = ScheduleServiceClient::new(channel).list_availability(request).await?.into_inner();
    BenchError::unless_all(WEEK_DAYS * SLOTS_A_DAY, reply.slots.len())
}

/// The same as a script.
pub fn script(venue_id: &str, first_date: NaiveDate) -> Script {
    let mut parameters = vec![":venue::uuid"];
    parameters.extend(PARAMETERS);
    let mut script = Script::new(STATEMENT, &parameters);
    script.prelude = format!("\\set day random(0, {FIRST_DAY_MAX})\n");
    script.variables = variables(first_date, WEEK_DAYS - 1, PARTY_SIZE, PAGE_SIZE);
    script.variables.push(("venue", venue_id.to_owned()));
    script
}

/// Everything that [`PARAMETERS`] name but the day.
pub fn variables(
    first_date: NaiveDate,
    more_days: usize,
    party_size: i32,
    page_size: i32,
) -> Vec<(&'static str, String)> {
    vec![
        ("from", first_date.to_string()),
        ("more_days", more_days.to_string()),
        ("party_size", party_size.to_string()),
        ("bookable_only", "false".to_owned()),
        ("limit", (page_size + 1).to_string()),
        ("days_max", "366".to_owned()),
    ]
}
