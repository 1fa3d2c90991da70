use chrono::{TimeDelta, Utc};
use futures::future::join as both;
use serde_json::Value;
use sqlx::Row as _;
use teppan_shared::contract::booking::v1::WaitlistEntryStatus;
use teppan_tests::harness::{self, eventually};

use super::{FORGOTTEN, assert_sound, becomes, busy, deadlocks, join, join_by, leave, replica, request, settled};
use crate::changes::{Change, House, refusal};

const CLAIM: &str = include_str!("../../../booking-service/src/waitlist/claim_opening.sql");
const SETTLE: &str = include_str!("../../../booking-service/src/waitlist/settle_notes.sql");

/// What a process claims before it decides on an offer: the notes, and how many who wait would fit.
async fn claim(house: &House) -> (Vec<i64>, usize) {
    let mut connection = harness::connect(&house.service.url).await;
    let now = Utc::now();
    let claim = sqlx::query(CLAIM).bind(now).bind(now + TimeDelta::seconds(30));
    let row = claim.fetch_one(&mut connection).await.expect("run");
    let candidates: Option<Value> = row.get("candidates?");
    (row.get("notes!"), candidates.and_then(|all| all.as_array().map(Vec::len)).unwrap_or_default())
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
    // Its process dies with the notes claimed.
    let (notes, fit) = claim(&house).await;
    assert_eq!((notes.len(), fit), (1, 1));
    // While it may be at it nobody else is, and nobody waits for it.
    assert_eq!(claim(&house).await, (Vec::new(), 0));
    house.sql("UPDATE waitlist_openings SET next_attempt_at = next_attempt_at - interval '30 seconds'").await;
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
    // Two seats are not enough, so the note is done with. The other two come free in the meantime.
    let (notes, fit) = claim(&house).await;
    assert_eq!((notes.len(), fit), (1, 0));
    free(&house, &other.booking_id).await;
    let settle = sqlx::query(SETTLE).bind(notes).bind(Vec::<i64>::new()).bind(Utc::now()).bind(false);
    settle.execute(&mut harness::connect(&house.service.url).await).await.expect("settled");
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
