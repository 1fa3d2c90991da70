//! Fills a database in bulk, with rows as the service's own statements leave them.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use teppan_shared::sealing::{AssociatedData, KeyRing};
use uuid::Uuid;

use super::database::{Contents, SLOT_QUERIES, SLOTS_A_QUERY, VENUE_COUNT};
use crate::{
    create_booking::PRICE_CENTS,
    error::BenchError,
    stage::{DAYS, SLOTS_A_DAY, Served},
};

const VENUES: &str = include_str!("seed/venues.sql");
const CUSTOMERS: &str = include_str!("seed/customers.sql");
const BOOKINGS: &str = include_str!("seed/bookings.sql");
const SEATS: &str = include_str!("seed/seats.sql");
const SLOT_QUERIES_TABLE: &str = "CREATE TABLE bench_slot_queries (
    query_id integer PRIMARY KEY, venue_ids uuid[], slot_dates date[], start_times time[], party_sizes integer[])";
const FILL_SLOT_QUERIES: &str = include_str!("seed/slot_queries.sql");
const TIDY: &str = include_str!("seed/tidy.sql");

/// Bookings of one statement: what it holds of them stays in memory.
const BATCH: u32 = 25_000;

/// Fills an empty database, on two connections that wait for no disk, and then leaves it as it is after a
/// quiet night: cleaned up, with statistics, everything written out.
pub async fn fill(served: &Served, contents: &Contents) -> Result<(), BenchError> {
    let mut one = writer(served).await?;
    let mut other = writer(served).await?;
    sqlx::query(VENUES)
        .bind(VENUE_COUNT)
        .bind(to_i32(DAYS))
        .bind(contents.first_date)
        .bind(to_i32(SLOTS_A_DAY))
        .bind(contents.seats_a_slot())
        .bind(PRICE_CENTS)
        .execute(&mut one)
        .await?;
    sqlx::query(CUSTOMERS).bind(contents.customers()).execute(&mut one).await?;
    let (even, odd): (Vec<_>, Vec<_>) =
        batches(contents.bookings).partition(|(first, _)| (first / BATCH).is_multiple_of(2));
    let ring = served.keys().ring();
    tokio::try_join!(bookings(&mut one, even, contents, &ring), bookings(&mut other, odd, contents, &ring))?;
    sqlx::query(SEATS).execute(&mut one).await?;
    sqlx::query(SLOT_QUERIES_TABLE).execute(&mut one).await?;
    sqlx::query(FILL_SLOT_QUERIES)
        .bind(SLOT_QUERIES)
        .bind(to_i32(SLOTS_A_QUERY))
        .bind(VENUE_COUNT)
        .bind(contents.first_date)
        .bind(to_i32(DAYS))
        .bind(to_i32(SLOTS_A_DAY))
        .execute(&mut one)
        .await?;
    for connection in [one, other] {
        connection.close().await?;
    }
    served.settle().await
}

/// Takes away what measurements made, and cleans up; tells how many bookings had been made and cancelled.
pub async fn tidy(served: &Served, contents: &Contents) -> Result<i64, BenchError> {
    let mut connection = writer(served).await?;
    let cancelled = sqlx::query_scalar(TIDY).bind(contents.filled_at).fetch_one(&mut connection).await?;
    connection.close().await?;
    served.settle().await?;
    Ok(cancelled)
}

async fn writer(served: &Served) -> Result<PgConnection, BenchError> {
    let mut connection = served.connect().await?;
    sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
    Ok(connection)
}

/// First and last number of each batch.
fn batches(count: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..count.div_ceil(BATCH)).map(move |batch| (batch * BATCH + 1, count.min((batch + 1) * BATCH)))
}

async fn bookings(
    connection: &mut PgConnection,
    batches: Vec<(u32, u32)>,
    contents: &Contents,
    ring: &KeyRing,
) -> Result<(), BenchError> {
    for (first, last) in batches {
        let details: Vec<_> = (first..=last).map(|number| details(ring, number)).collect();
        sqlx::query(BOOKINGS)
            .bind(i64::from(first))
            .bind(i64::from(last))
            .bind(VENUE_COUNT)
            .bind(contents.customers())
            .bind(contents.first_date)
            .bind(to_i32(DAYS))
            .bind(to_i32(SLOTS_A_DAY))
            .bind(details)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Contact and special requests of the booking with this number, as the service seals them.
fn details(ring: &KeyRing, number: u32) -> Vec<u8> {
    let booking_id = Uuid::from_u128(number.into());
    let about = AssociatedData { table: "bookings", column: "details_sealed", row: booking_id.as_bytes() };
    let contact = json!({ "name": "Mina Sato", "email": format!("mina.{number}@example.org"), "phone": "+4930123456" });
    let details = json!({ "contact": contact, "special_requests": "A table by the window, please." });
    ring.seal(about, details.to_string().as_bytes())
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_every_number_once() {
        assert_eq!(
            batches(BATCH * 2 + 1).collect::<Vec<_>>(),
            [(1, BATCH), (BATCH + 1, BATCH * 2), (BATCH * 2 + 1, BATCH * 2 + 1)]
        );
        assert_eq!(batches(1).collect::<Vec<_>>(), [(1, 1)]);
    }
}
