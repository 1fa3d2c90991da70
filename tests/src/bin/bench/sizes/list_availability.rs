//! ListAvailability, both ways: all slots of a venue, on one page.

use teppan_shared::contract::booking::v1::{ListAvailabilityRequest, schedule_service_client::ScheduleServiceClient};
use tonic::transport::Channel;

use super::database::{Contents, VENUE, draw_venue, random_venue};
use crate::{
    create_booking::SLOTS,
    error::BenchError,
    list_availability::{PARAMETERS, STATEMENT, variables},
    pgbench::Script,
    stage::DAYS,
};

/// The most there may be: one page is enough.
const PAGE_SIZE: i32 = 2000;
const PARTY_SIZE: i32 = 2;

/// One call: the slots of any venue.
pub async fn call(contents: Contents, channel: Channel) -> Result<(), BenchError> {
    let request = ListAvailabilityRequest {
        venue_id: random_venue(),
        from_date: contents.first_date.to_string(),
        to_date: contents.last_date().to_string(),
        party_size: PARTY_SIZE,
        page_size: PAGE_SIZE,
        ..Default::default()
    };
    let reply = ScheduleServiceClient::new(channel).list_availability(request).await?.into_inner();
    BenchError::unless_all(SLOTS, reply.slots.len())
}

/// The same as a script.
pub fn script(contents: &Contents) -> Script {
    let mut parameters = vec![VENUE];
    parameters.extend(PARAMETERS);
    let mut script = Script::new(STATEMENT, &parameters);
    script.prelude = format!("{}\\set day 0\n", draw_venue());
    script.variables = variables(contents.first_date, DAYS - 1, PARTY_SIZE, PAGE_SIZE);
    script
}
