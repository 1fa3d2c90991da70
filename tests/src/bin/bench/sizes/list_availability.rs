//! ListAvailability, both ways: all slots of a venue, on one page.

use teppan_shared::contract::booking::v1::{ListAvailabilityRequest, schedule_service_client::ScheduleServiceClient};
use tonic::transport::Channel;

use super::database::{Contents, VENUE, draw_venue, random_venue};
use crate::{create_booking::SLOTS, error::BenchError, pgbench::Script};

const STATEMENT: &str = include_str!("../../../../../booking-service/src/slots/list_availability.sql");
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
    let mut script = Script::new(
        STATEMENT,
        &[
            VENUE,
            ":from::date",
            ":to::date",
            ":after_date::date",
            ":after_time::time",
            ":party_size::integer",
            ":bookable_only::boolean",
            ":limit::bigint",
            "now()",
            ":days_max::integer",
        ],
    );
    script.prelude = draw_venue();
    script.variables = vec![
        ("from", contents.first_date.to_string()),
        ("to", contents.last_date().to_string()),
        ("after_date", "1970-01-01".to_owned()),
        ("after_time", "00:00".to_owned()),
        ("party_size", PARTY_SIZE.to_string()),
        ("bookable_only", "false".to_owned()),
        ("limit", (PAGE_SIZE + 1).to_string()),
        ("days_max", "366".to_owned()),
    ];
    script
}
