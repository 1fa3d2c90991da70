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

use super::{Change, SLOTS_THAT_MISCOUNT, VenueFixture, act, refusal};

const CLIENTS: usize = 32;
const CALLS_EACH: usize = 15;
const TIMES: [&str; 3] = ["18:00", "18:30", "19:00"];

/// Starts another replica, which expires holds every 10 ms.
async fn replica(fixture: &VenueFixture) -> Booking {
    let common = harness::settings(fixture.service.url.clone(), &fixture.service.keys);
    let mut settings = harness::booking_settings(common);
    settings.hold_expiry_interval = Duration::from_millis(10);
    Booking::configured(settings, fixture.service.url.clone(), fixture.service.keys.clone()).await.ready().await
}

/// Creates bookings, and reschedules, confirms, cancels and expires random ones of `bookings`. Returns the refusals.
async fn client(fixture: &VenueFixture, clients: BookingClients, bookings: &[String]) -> Vec<Status> {
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
                    ..fixtures::booking(&fixture.venue_id, party_size)
                };
                clients.clone().bookings.create_booking(request).await.map(|_| ())
            }
            9 => act(&clients, Change::Confirm, booking_id, "").await.map(|_| ()),
            10 => {
                fixture.expire_hold(booking_id).await;
                Ok(())
            }
            _ => act(&clients, Change::Cancel, booking_id, "").await.map(|_| ()),
        };
        refusals.extend(answer.err());
    }
    refusals
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seat_is_counted_once_under_many_concurrent_changes() {
    let fixture = VenueFixture::with_deposit(40).await;
    let mut bookings = Vec::new();
    for _ in 0..36 {
        bookings.push(fixture.book(1).await.booking_id);
    }
    let replicas = [replica(&fixture).await, replica(&fixture).await];

    let over = AtomicBool::new(false);
    let watching = async {
        let mut connection = harness::connect(&fixture.service.url).await;
        let mut checks = 0;
        while !over.load(Ordering::Relaxed) {
            let miscounted: i64 =
                sqlx::query_scalar(SLOTS_THAT_MISCOUNT).fetch_one(&mut connection).await.expect("the query runs");
            assert_eq!(miscounted, 0, "no slot has a wrong number of reserved seats at any moment");
            checks += 1;
        }
        checks
    };
    let storm = async {
        let clients = (0..CLIENTS).map(|n| client(&fixture, replicas[n % 2].clients.clone(), &bookings));
        let refusals = join_all(clients).await.into_iter().flatten().collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        refusals
    };
    let (checks, refusals) = join(watching, storm).await;

    assert!(checks > 10, "the slots were checked often");
    for refused in &refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    }
    let reasons = refusals.iter().map(|refused| refusal(refused, "").0).collect::<Vec<_>>();
    assert!(reasons.iter().any(|reason| reason == "SLOT_FULL"), "some slots were full: {reasons:?}");
    fixture.assert_consistent().await;
    let changes: i64 = fixture.service.scalar("SELECT count(*) FROM booking_events WHERE version > 1").await;
    assert!(changes > 50, "many calls changed a booking: {changes}");
    let [first, second] = replicas;
    // PostgreSQL adds a connection's deadlocks to the statistics at the latest when the connection closes.
    join(first.service.stop(), second.service.stop()).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(fixture.service.scalar::<i64>(deadlocks).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_that_swap_slots_never_deadlock() {
    let fixture = VenueFixture::without_deposit(40).await;
    let (one, other) = (fixture.book(10).await.booking_id, fixture.book(10).await.booking_id);
    fixture.act(Change::Move("19:00"), &other).await.expect("moved");
    for round in 0..40 {
        let (first, second) = if round % 2 == 0 { ("19:00", "18:00") } else { ("18:00", "19:00") };
        let (there, back) =
            join(fixture.act(Change::Move(first), &one), fixture.act(Change::Move(second), &other)).await;
        there.expect("moved");
        back.expect("moved");
    }
    fixture.assert_consistent().await;
    let VenueFixture { service, .. } = fixture;
    let url = service.url.clone();
    service.service.stop().await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(harness::scalar::<i64>(&url, deadlocks).await, 0);
}

/// Makes two calls that overlap. The test locks the slots, so the first call locks its booking and waits for the slots.
/// The second call waits for the booking. Then the test releases the slots, and both calls continue.
fn overlapping<A, B>(
    fixture: &VenueFixture,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> impl Future<Output = (A, B)> {
    // On the heap, because the futures of two calls are large.
    Box::pin(async move {
        let mut slots = harness::connect(&fixture.service.url).await;
        sqlx::raw_sql("BEGIN; SELECT FROM slots FOR NO KEY UPDATE").execute(&mut slots).await.expect("locked");
        let waiting = async |calls: i64| {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let what = format!("{calls} calls wait");
            eventually(&what, async || fixture.service.scalar::<i64>(waiting).await == calls).await;
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
async fn a_change_that_waited_for_another_change_is_decided_by_the_new_state() {
    let fixture = VenueFixture::with_deposit(10).await;
    let id = fixture.book(4).await.booking_id;
    let (moved, cancelled) =
        overlapping(&fixture, fixture.act(Change::Move("19:00"), &id), fixture.act(Change::Cancel, &id)).await;
    assert_eq!(moved.expect("moved").version, 2);
    let cancelled = cancelled.expect("cancelled");
    assert_eq!((cancelled.start_time.as_str(), cancelled.version), ("19:00", 3));
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);

    let id = fixture.book(4).await.booking_id;
    let (resized, moved) =
        overlapping(&fixture, fixture.act(Change::Resize(6), &id), fixture.act(Change::Move("19:00"), &id)).await;
    assert_eq!(resized.expect("resized").start_time, "18:00");
    let moved = moved.expect("moved");
    assert_eq!((moved.start_time.as_str(), moved.party_size, moved.version), ("19:00", 6, 3));
    fixture.act(Change::Cancel, &id).await.expect("cancelled");

    let id = fixture.book(4).await.booking_id;
    let (cancelled, confirmed) =
        overlapping(&fixture, fixture.act(Change::Cancel, &id), fixture.act(Change::Confirm, &id)).await;
    assert_eq!(cancelled.expect("cancelled").version, 2);
    let refused = confirmed.expect_err("nothing is left to confirm");
    assert_eq!(refusal(&refused, "status").1, "BOOKING_STATUS_CANCELLED");
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_is_stale_when_another_change_commits_while_the_call_waits() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    let cancel = act(&fixture.service.clients, Change::Cancel, &made.booking_id, &made.etag);
    let (moved, refused) = overlapping(&fixture, fixture.act(Change::Move("18:30"), &made.booking_id), cancel).await;
    assert_eq!(moved.expect("moved").version, 2);
    assert_eq!(refused.expect_err("stale").code(), Code::Aborted);
    fixture.assert_consistent().await;
}
