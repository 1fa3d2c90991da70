//! SuggestSlots, both ways: the best starts of twenty venues within two hours before and after a time.

use chrono::NaiveDate;
use rand::Rng as _;
use teppan_shared::contract::booking::v1::{SuggestSlotsRequest, booking_service_client::BookingServiceClient};
use tonic::transport::Channel;

use crate::{
    error::BenchError,
    pgbench::Script,
    stage::{DAYS, SLOTS_A_DAY, date_of},
};

/// The most venues of a call.
pub const VENUES: usize = 20;
const STATEMENT: &str = include_str!("../../../../booking-service/src/slots/suggest.sql");
const PARTY_SIZE: i32 = 2;
const LIMIT: usize = 3;
/// Nine slots of each venue are in the window around this time.
const TIME: &str = "15:00";
const WINDOW_MINUTES: i32 = 120;
const PARAMETERS: [&str; 6] = [
    ":venues::uuid[]",
    ":from::date + :day::integer",
    "'13:00'::time",
    ":from::date + :day::integer",
    "'17:00'::time",
    "now()",
];

/// One call: on any day.
pub async fn call(venue_ids: Vec<String>, first_date: NaiveDate, channel: Channel) -> Result<(), BenchError> {
    let day = rand::rng().random_range(0..DAYS);
    let request = SuggestSlotsRequest {
        venue_ids,
        date: date_of(first_date, day * SLOTS_A_DAY).to_string(),
        time: TIME.to_owned(),
        party_size: PARTY_SIZE,
        window_minutes: WINDOW_MINUTES,
        limit: i32::try_from(LIMIT).unwrap_or(i32::MAX),
    };
    let reply = BookingServiceClient::new(channel).suggest_slots(request).await?.into_inner();
    BenchError::unless_all(LIMIT, reply.suggestions.len())
}

/// The same as a script.
pub fn script(venue_ids: &[String], first_date: NaiveDate) -> Script {
    let mut script = Script::new(STATEMENT, &PARAMETERS);
    script.prelude = format!("\\set day random(0, {})\n", DAYS - 1);
    script.variables = vec![("venues", format!("{{{}}}", venue_ids.join(","))), ("from", first_date.to_string())];
    script
}
