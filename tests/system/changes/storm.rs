use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::future::{join, join_all, join3};
use rand::Rng as _;
use teppan_shared::contract::booking::v1::{CreateBookingRequest, RescheduleBookingRequest};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking, eventually},
};
use tonic::{Code, Status};

use super::{Change, House, SLOTS_THAT_MISCOUNT, act, refusal};

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

/// Makes two calls, of which the first has decided, and locked its booking, before the second commits: it waits for the
/// slots, which the test holds, and the second for the booking. Then both go on.
fn overtaken<A, B>(
    house: &House,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> impl Future<Output = (A, B)> {
    // On the heap: two calls are large.
    Box::pin(async move {
        let mut slots = harness::connect(&house.service.url).await;
        sqlx::raw_sql("BEGIN; SELECT FROM slots FOR NO KEY UPDATE").execute(&mut slots).await.expect("locked");
        let waiting = async |calls: i64| {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let what = format!("{calls} calls wait");
            eventually(&what, async || house.service.scalar::<i64>(waiting).await == calls).await;
        };
        let second = async {
            waiting(1).await;
            second.await
        };
        let release = async {
            waiting(2).await;
            sqlx::raw_sql("COMMIT").execute(&mut slots).await.expect("released");
        };
        let (first, second, ()) = join3(first, second, release).await;
        (first, second)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_overtaken_is_decided_by_what_the_other_did() {
    let house = House::open(10).await;
    let id = house.book(4).await.booking_id;
    let (moved, cancelled) =
        overtaken(&house, house.act(Change::Move("19:00"), &id), house.act(Change::Cancel, &id)).await;
    assert_eq!(moved.expect("moved").version, 2);
    let cancelled = cancelled.expect("cancelled");
    assert_eq!((cancelled.start_time.as_str(), cancelled.version), ("19:00", 3));
    assert_eq!(house.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);

    let id = house.book(4).await.booking_id;
    let (resized, moved) =
        overtaken(&house, house.act(Change::Resize(6), &id), house.act(Change::Move("19:00"), &id)).await;
    assert_eq!(resized.expect("resized").start_time, "18:00");
    let moved = moved.expect("moved");
    assert_eq!((moved.start_time.as_str(), moved.party_size, moved.version), ("19:00", 6, 3));
    house.act(Change::Cancel, &id).await.expect("cancelled");

    let id = house.book(4).await.booking_id;
    let (cancelled, confirmed) =
        overtaken(&house, house.act(Change::Cancel, &id), house.act(Change::Confirm, &id)).await;
    assert_eq!(cancelled.expect("cancelled").version, 2);
    let refused = confirmed.expect_err("nothing is left to confirm");
    assert_eq!(refusal(&refused, "status").1, "BOOKING_STATUS_CANCELLED");
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_that_was_current_when_the_call_came_is_stale_when_another_change_overtook_it() {
    let house = House::open(10).await;
    let made = house.book(4).await;
    let cancel = act(&house.service.clients, Change::Cancel, &made.booking_id, &made.etag);
    let (moved, refused) = overtaken(&house, house.act(Change::Move("18:30"), &made.booking_id), cancel).await;
    assert_eq!(moved.expect("moved").version, 2);
    assert_eq!(refused.expect_err("stale").code(), Code::Aborted);
    house.assert_sound().await;
}
