//! ListBookings, both ways: a page of a venue's bookings from any day on.

use rand::Rng as _;
use teppan_shared::contract::booking::v1::{ListBookingsRequest, booking_service_client::BookingServiceClient};
use tonic::transport::Channel;

use super::database::{Contents, NO_VALUE, NONE, VENUE, draw_venue, random_venue};
use crate::{
    error::BenchError,
    pgbench::Script,
    stage::{SLOTS_A_DAY, date_of},
};

const STATEMENT: &str = include_str!("../../../../../booking-service/src/bookings/list_earliest_first.sql");
const PAGE_SIZE: i32 = 50;
/// As in `booking-service/src/bookings/list.rs`.
const SCANNED_MAX: i64 = 5_000;
/// The days a page may begin at: enough bookings follow on each.
const FIRST_DAYS: usize = 60;

/// One call: a page of any venue from any of the days on.
pub async fn call(contents: Contents, channel: Channel) -> Result<(), BenchError> {
    let day = rand::rng().random_range(0..FIRST_DAYS);
    let request = ListBookingsRequest {
        page_size: PAGE_SIZE,
        venue_id: random_venue(),
        from_date: date_of(contents.first_date, day * SLOTS_A_DAY).to_string(),
        ..Default::default()
    };
    let reply = BookingServiceClient::new(channel).list_bookings(request).await?.into_inner();
    // A venue of few bookings may have less than a page of them.
    let expected =
        if reply.next_page_token.is_empty() { reply.bookings.len() } else { PAGE_SIZE.unsigned_abs() as usize };
    BenchError::unless_all(expected, reply.bookings.len())
}

/// The same as a script.
pub fn script(contents: &Contents) -> Script {
    let no_id = format!("{NONE}::uuid");
    let no_texts = format!("{NONE}::text[]");
    let mut script = Script::new(
        STATEMENT,
        &[
            NONE,
            &no_id,
            VENUE,
            &no_texts,
            ":first_date::date + :day::integer",
            ":first_time::time",
            ":first_id::uuid",
            ":last_date::date",
            ":last_time::time",
            ":last_id::uuid",
            ":looked_at::bigint",
            ":limit::bigint",
        ],
    );
    script.prelude = format!("{}\\set day random(0, {})\n", draw_venue(), FIRST_DAYS - 1);
    script.variables = vec![
        ("none", NO_VALUE.to_owned()),
        ("first_date", contents.first_date.to_string()),
        ("first_time", "00:00".to_owned()),
        ("first_id", uuid::Uuid::nil().to_string()),
        ("last_date", "9999-12-31".to_owned()),
        ("last_time", "23:59:59".to_owned()),
        ("last_id", uuid::Uuid::max().to_string()),
        ("looked_at", SCANNED_MAX.to_string()),
        ("limit", (PAGE_SIZE + 1).to_string()),
    ];
    script
}
