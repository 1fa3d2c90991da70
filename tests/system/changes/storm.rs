use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::{NaiveDate, NaiveTime, Utc};
use futures::future::{join, join_all};
use rand::Rng as _;
use sqlx::{PgConnection, Row as _};
use teppan_shared::contract::booking::v1::{CreateBookingRequest, RescheduleBookingRequest};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking, eventually},
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Change, House, SLOTS_THAT_MISCOUNT, act, refusal};

const CONFIRM: &str = include_str!("../../../booking-service/src/bookings/confirm.sql");
const RESCHEDULE: &str = include_str!("../../../booking-service/src/bookings/reschedule.sql");
const CLIENTS: usize = 32;
const CALLS_EACH: usize = 15;
const TIMES: [&str; 3] = ["18:00", "18:30", "19:00"];

/// A service of the house that looks for holds all the time.
async fn replica(house: &House) -> Booking {
    let common = harness::settings(house.service.url.clone(), &house.service.keys);
    let mut settings = harness::booking_settings(common);
    settings.hold_expiry_interval = Duration::from_millis(10);
    Booking::configured(settings, house.service.url.clone(), house.service.keys.clone()).await.ready().await
}

/// Makes, moves, resizes, confirms and cancels bookings at random, its own and those of the others.
async fn client(house: &House, clients: BookingClients, bookings: &[String]) -> Vec<Status> {
    let mut refusals = Vec::new();
    for _ in 0..CALLS_EACH {
        let (kind, booking, time, party_size) = {
            let mut rng = rand::rng();
            (
                rng.random_range(0..12),
                rng.random_range(0..bookings.len()),
                rng.random_range(0..3),
                rng.random_range(1..=6),
            )
        };
        let booking_id = &bookings[booking];
        let answer = match kind {
            0..6 => {
                let request = RescheduleBookingRequest {
                    booking_id: booking_id.clone(),
                    start_time: TIMES[time].to_owned(),
                    party_size: Some(party_size),
                    ..Default::default()
                };
                clients.clone().bookings.reschedule_booking(request).await.map(|_| ())
            }
            6..9 => {
                let request = CreateBookingRequest {
                    start_time: TIMES[time].to_owned(),
                    ..fixtures::booking(&house.venue_id, party_size)
                };
                clients.clone().bookings.create_booking(request).await.map(|_| ())
            }
            9 => act(&clients, Change::Confirm, booking_id, "").await.map(|_| ()),
            10 => {
                house.run_out(booking_id).await;
                Ok(())
            }
            _ => act(&clients, Change::Cancel, booking_id, "").await.map(|_| ()),
        };
        refusals.extend(answer.err());
    }
    refusals
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_of_changes_that_cross_every_seat_is_counted_once() {
    let house = House::open(40).await;
    let mut bookings = Vec::new();
    for _ in 0..36 {
        bookings.push(house.book(1).await.booking_id);
    }
    let replicas = [replica(&house).await, replica(&house).await];

    let over = AtomicBool::new(false);
    let watching = async {
        let mut connection = harness::connect(&house.service.url).await;
        let mut looks = 0;
        while !over.load(Ordering::Relaxed) {
            let miscounted: i64 =
                sqlx::query_scalar(SLOTS_THAT_MISCOUNT).fetch_one(&mut connection).await.expect("a look");
            assert_eq!(miscounted, 0, "at every moment");
            looks += 1;
        }
        looks
    };
    let storm = async {
        let clients = (0..CLIENTS).map(|n| client(&house, replicas[n % 2].clients.clone(), &bookings));
        let refusals = join_all(clients).await.into_iter().flatten().collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        refusals
    };
    let (looks, refusals) = join(watching, storm).await;

    assert!(looks > 10, "it was watched");
    for refused in &refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    }
    let reasons = refusals.iter().map(|refused| refusal(refused, "").0).collect::<Vec<_>>();
    assert!(reasons.iter().any(|reason| reason == "SLOT_FULL"), "it was crowded: {reasons:?}");
    house.assert_sound().await;
    let changes: i64 = house.service.scalar("SELECT count(*) FROM booking_events WHERE version > 1").await;
    assert!(changes > 50, "much was changed: {changes}");
    let [first, second] = replicas;
    // What a connection knows of deadlocks it tells at the latest at its end.
    join(first.service.stop(), second.service.stop()).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(house.service.scalar::<i64>(deadlocks).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_that_swap_slots_never_deadlock() {
    let house = House::firm(40).await;
    let (one, other) = (house.book(10).await.booking_id, house.book(10).await.booking_id);
    house.act(Change::Move("19:00"), &other).await.expect("moved");
    for round in 0..40 {
        let (to, fro) = if round % 2 == 0 { ("19:00", "18:00") } else { ("18:00", "19:00") };
        let (there, back) = join(house.act(Change::Move(to), &one), house.act(Change::Move(fro), &other)).await;
        there.expect("moved");
        back.expect("moved");
    }
    house.assert_sound().await;
    let House { service, .. } = house;
    let url = service.url.clone();
    service.service.stop().await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(harness::scalar::<i64>(&url, deadlocks).await, 0);
}

/// A change by a statement of the test's own, in a transaction that has not ended.
async fn begin_change(house: &House, statement: &'static str, booking_id: &str, time: Option<&str>) -> PgConnection {
    let mut connection = harness::connect(&house.service.url).await;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await.expect("a transaction");
    let query = sqlx::query(statement)
        .bind(Uuid::parse_str(booking_id).expect("a UUID"))
        .bind(None::<i64>)
        .bind(vec!["PENDING", "CONFIRMED"])
        .bind(Uuid::now_v7())
        .bind(None::<String>)
        .bind(Vec::<String>::new())
        .bind(Utc::now());
    let query = match time {
        None => query,
        Some(time) => query
            .bind(None::<NaiveDate>)
            .bind(time.parse::<NaiveTime>().expect("a time"))
            .bind(None::<i32>)
            .bind(None::<i64>)
            .bind(vec!["PENDING"])
            .bind(Uuid::now_v7()),
    };
    let row = query.fetch_one(&mut connection).await.expect("changed");
    assert_eq!(row.get::<String, _>("outcome!"), "CHANGED");
    connection
}

/// Makes a call while another change of the booking has not ended, and ends that when the call waits for it.
async fn meanwhile<T>(house: &House, mut other: PgConnection, call: impl Future<Output = T>) -> T {
    let ending = async {
        let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database OR database IS NULL
                       WHERE NOT granted AND d.datname = current_database()";
        eventually("the call waits", async || house.service.scalar::<i64>(waiting).await > 0).await;
        sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("committed");
    };
    join(call, ending).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waited_for_another_change_goes_on_from_what_that_did() {
    let house = House::open(10).await;
    // The seats at 19:00 are not in the snapshot of the call that frees them.
    let made = house.book(4).await;
    let moving = begin_change(&house, RESCHEDULE, &made.booking_id, Some("19:00:00")).await;
    let cancelled = meanwhile(&house, moving, house.act(Change::Cancel, &made.booking_id)).await.expect("cancelled");
    assert_eq!((cancelled.start_time.as_str(), cancelled.version), ("19:00", 3));
    assert_eq!(house.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);

    // That it was confirmed is not in the snapshot of the call that completes it.
    let made = house.book(4).await;
    house.begin(&made.booking_id).await;
    let confirming = begin_change(&house, CONFIRM, &made.booking_id, None).await;
    let completed = meanwhile(&house, confirming, house.act(Change::Complete, &made.booking_id)).await;
    assert_eq!(completed.expect("completed").version, 3);

    // An etag that was current when the call came is not any longer.
    let made = house.book(4).await;
    let moving = begin_change(&house, RESCHEDULE, &made.booking_id, Some("18:30:00")).await;
    let call = act(&house.service.clients, Change::Cancel, &made.booking_id, &made.etag);
    let refused = meanwhile(&house, moving, call).await.expect_err("stale");
    assert_eq!(refused.code(), Code::Aborted);
    house.assert_sound().await;
}
