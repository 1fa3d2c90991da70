//! BatchCheckAvailability, both ways: as many slots as one call may ask for, of any venues.

use std::sync::Arc;

use rand::{Rng as _, seq::IndexedRandom as _};
use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, SlotQuery, schedule_service_client::ScheduleServiceClient,
};
use tonic::transport::Channel;

use super::database::{Contents, SLOT_QUERIES, SLOTS_A_QUERY, random_venue};
use crate::{
    create_booking::SLOTS,
    error::BenchError,
    pgbench::Script,
    stage::{SLOTS_A_DAY, date_of, start_of},
};

const STATEMENT: &str = include_str!("../../../../../booking-service/src/slots/batch_check_availability.sql");

/// Questions that are made up beforehand: making them is not what is timed.
pub fn requests(contents: &Contents) -> Arc<[BatchCheckAvailabilityRequest]> {
    (0..SLOT_QUERIES).map(|_| request(contents)).collect()
}

fn request(contents: &Contents) -> BatchCheckAvailabilityRequest {
    let query = |_| {
        let slot = rand::rng().random_range(0..SLOTS);
        SlotQuery {
            venue_id: random_venue(),
            date: date_of(contents.first_date, slot).to_string(),
            start_time: start_of(slot % SLOTS_A_DAY),
            party_size: rand::rng().random_range(1..=6),
        }
    };
    BatchCheckAvailabilityRequest { queries: (0..SLOTS_A_QUERY).map(query).collect() }
}

/// One call: any of the questions.
pub async fn call(requests: Arc<[BatchCheckAvailabilityRequest]>, channel: Channel) -> Result<(), BenchError> {
    let request = requests.choose(&mut rand::rng()).cloned().unwrap_or_default();
    let reply = ScheduleServiceClient::new(channel).batch_check_availability(request).await?.into_inner();
    let found = reply.checks.iter().filter(|check| !check.currency.is_empty()).count();
    BenchError::unless_all(SLOTS_A_QUERY, found)
}

/// The same as a script. Its questions lie in a table.
pub fn script() -> Script {
    let column = |name: &str| format!("SELECT {name} FROM bench_slot_queries WHERE query_id = :query");
    let columns = ["venue_ids", "slot_dates", "start_times", "party_sizes"].map(column);
    let [venue_ids, slot_dates, start_times, party_sizes] = columns.each_ref().map(String::as_str);
    let mut script = Script::new(STATEMENT, &[venue_ids, slot_dates, start_times, party_sizes, "now()"]);
    script.prelude = format!("\\set query random(0, {})\n", SLOT_QUERIES - 1);
    script
}
