//! A booking-service with so many bookings in its database.

use std::time::Instant;

use chrono::{DateTime, Days, NaiveDate, Utc};
use rand::Rng as _;
use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::launch::Which;
use uuid::Uuid;

use super::seed;
use crate::{
    error::BenchError,
    stage::{DAYS, Served},
};

/// As many in every database, so that nothing but the bookings differs: at 10,000 a venue has a booking in
/// every third slot, at 1,000,000 some thirty in each.
pub const VENUE_COUNT: i32 = 20;
const BOOKINGS_A_CUSTOMER: u32 = 4;

/// What BatchCheckAvailability is asked, at most.
pub const SLOTS_A_QUERY: usize = 500;
/// How many different questions there are.
pub const SLOT_QUERIES: i32 = 200;

/// The service and its database.
pub struct Database {
    pub served: Served,
    pub contents: Contents,
}

/// What the tables hold.
#[derive(Debug, Clone, Copy)]
pub struct Contents {
    pub bookings: u32,
    /// The first of the 90 days of every venue's slots, all of which can be booked.
    pub first_date: NaiveDate,
    /// What is made later was made by a measurement.
    pub filled_at: DateTime<Utc>,
}

impl Database {
    /// A new database, which the service migrates, and fills.
    pub async fn make(postgres: &ThrowawayServer, bookings: u32) -> Result<Self, BenchError> {
        eprintln!("Making a database with {} bookings…", super::grouped(bookings));
        let started = Instant::now();
        let served = Served::start(Which::Booking, postgres, &format!("booking_service_{bookings}")).await?;
        let now = Utc::now();
        let contents = Contents { bookings, first_date: now.date_naive() + Days::new(1), filled_at: now };
        seed::fill(&served, &contents).await?;
        eprintln!("  done in {:.0} s", started.elapsed().as_secs_f64());
        Ok(Self { served, contents })
    }
}

impl Contents {
    pub fn customers(&self) -> i64 {
        self.bookings.div_ceil(BOOKINGS_A_CUSTOMER).into()
    }

    /// Several times what a slot comes to at random: a booking takes a seat of some slot to six.
    pub fn seats_a_slot(&self) -> i32 {
        i32::try_from(100 + self.bookings / 2_500).unwrap_or(i32::MAX)
    }

    pub fn last_date(&self) -> NaiveDate {
        self.first_date + Days::new(u64::try_from(DAYS - 1).unwrap_or_default())
    }
}

/// One of the venues, which are numbered from 1.
pub fn random_venue() -> String {
    let number: i32 = rand::rng().random_range(1..=VENUE_COUNT);
    Uuid::from_u128(number.unsigned_abs().into()).to_string()
}

/// Sets pgbench's variable `venue`, which [`VENUE`] makes an id of.
pub fn draw_venue() -> String {
    format!("\\set venue random(1, {VENUE_COUNT})\n")
}

/// The id of the venue of this number.
pub const VENUE: &str = "lpad(to_hex(:venue::bigint), 32, '0')::uuid";
/// No value, in a way that the planner does not see through: the service's parameters can be anything.
pub const NONE: &str = "nullif(:none::text, '-')";
/// What pgbench's variable `none` is.
pub const NO_VALUE: &str = "-";
