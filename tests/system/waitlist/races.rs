use futures::future::join as both;
use sqlx::{PgConnection, Row as _};
use teppan_shared::contract::booking::v1::WaitlistEntryStatus;
use teppan_tests::harness::{self, eventually};
use uuid::Uuid;

use super::{FORGOTTEN, assert_sound, becomes, busy, deadlocks, join, join_by, leave, replica, request, settled};
use crate::changes::{Change, House, refusal};

const OFFER: &str = include_str!("../../../booking-service/src/waitlist/offer.sql");

/// An offer by a statement of the test's own, in a transaction that has not ended.
async fn begin_offer(house: &House) -> (PgConnection, String) {
    let mut connection = harness::connect(&house.service.url).await;
    sqlx::raw_sql("SET enable_seqscan = off; BEGIN").execute(&mut connection).await.expect("a transaction");
    let row = sqlx::query(OFFER)
        .bind(chrono::Utc::now())
        .bind(Uuid::now_v7())
        .bind(Uuid::now_v7())
        .bind(Uuid::now_v7().simple().to_string())
        .bind(Vec::<String>::new())
        .fetch_one(&mut connection)
        .await
        .expect("run");
    (connection, row.get("outcome!"))
}

/// Seats are freed past the service, so that no worker of it is told.
async fn free(house: &House, booking_id: &str) {
    house
        .sql(format!(
            "WITH freed AS (
                 UPDATE bookings SET status = 'CANCELLED', hold_expires_at = NULL, cancelled_at = now(), cancelled_by = 'VENUE'
                 WHERE booking_id = '{booking_id}' RETURNING party_size)
             UPDATE slots SET reserved = reserved - party_size FROM freed
             WHERE (venue_id, slot_date, start_time) IN (
                 SELECT venue_id, slot_date, start_time FROM bookings WHERE booking_id = '{booking_id}')"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_process_dies_is_made_by_another() {
    let house = House::open(2).await;
    let made = house.book(2).await;
    let entry = join(&house, 2).await;
    free(&house, &made.booking_id).await;
    let (dying, outcome) = begin_offer(&house).await;
    assert_eq!(outcome, "offered");
    // While it is at it nobody else is, and nobody waits for it.
    assert_eq!(begin_offer(&house).await.1, "idle");
    drop(dying);
    let _another = replica(&house).await;
    becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
    settled(&house).await;
    let offers = "SELECT count(*) FROM booking_events WHERE type = 'teppan.waitlist.offered.v1'";
    assert_eq!(house.service.scalar::<i64>(offers).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_freed_while_an_offer_is_decided_are_not_forgotten() {
    let house = House::open(4).await;
    let (one, other) = (house.book(2).await, house.book(2).await);
    let entry = join(&house, 4).await;
    free(&house, &one.booking_id).await;
    // Two seats are not enough: the note goes. The other two come free in the meantime.
    let (mut deciding, outcome) = begin_offer(&house).await;
    assert_eq!(outcome, "settled");
    let freeing = free(&house, &other.booking_id);
    let ending = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("it waits for the slot", async || house.service.scalar::<i64>(waiting).await > 0).await;
        sqlx::raw_sql("COMMIT").execute(&mut deciding).await.expect("committed");
    };
    both(freeing, ending).await;
    let _worker = replica(&house).await;
    becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_while_seats_come_free_is_told_of_them_or_offered_them() {
    let house = House::of(busy().await, 2, 25).await;
    let (mut told, mut offered) = (0, 0);
    for _ in 0..60 {
        let made = house.book(2).await;
        let joining = join_by(&house.service.clients, request(&house.venue_id, 2));
        let (cancelled, joined) = both(house.act(Change::Cancel, &made.booking_id), joining).await;
        cancelled.expect("cancelled");
        match joined {
            Ok(entry) => {
                let entry = becomes(&house, &entry, WaitlistEntryStatus::Offered).await;
                leave(&house.service.clients, &entry).await.expect("given up");
                offered += 1;
            }
            Err(refused) => {
                assert_eq!(refusal(&refused, "").0, "SLOT_AVAILABLE");
                told += 1;
            }
        }
        settled(&house).await;
    }
    println!("told of the seats {told} times, offered them {offered} times");
    assert_eq!(house.service.scalar::<i64>(FORGOTTEN).await, 0);
    assert_sound(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_seats_are_offered_has_left_and_holds_none() {
    let house = House::of(busy().await, 2, 25).await;
    let _second = replica(&house).await;
    for _ in 0..40 {
        let made = house.book(2).await;
        let entry = join(&house, 2).await;
        let leaving = leave(&house.service.clients, &entry);
        let (cancelled, left) = both(house.act(Change::Cancel, &made.booking_id), leaving).await;
        cancelled.expect("cancelled");
        assert_eq!(left.expect("left").status(), WaitlistEntryStatus::Left);
        let free = "SELECT max(reserved) = 0 FROM slots";
        eventually("the seats are free", async || house.service.scalar::<bool>(free).await).await;
        assert_eq!(
            house.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries WHERE status <> 'LEFT'").await,
            0
        );
    }
    assert_sound(&house).await;
    assert_eq!(deadlocks(&house.service.url).await, 0);
}
