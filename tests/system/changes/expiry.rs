use std::time::Duration;

use booking_service::settings::Settings;
use futures::future::join_all;
use secrecy::SecretString;
use teppan_shared::{
    contract::booking::v1::{BookingStatus, GetBookingRequest},
    nats::NatsSettings,
};
use teppan_tests::harness::{self, Booking, eventually};

use super::{Change, House, refusal};
use crate::statements::{
    buffers,
    change::{self, Decided},
    plan, run, settle,
};

const DUE: &str = include_str!("../../../booking-service/src/bookings/due_holds.sql");

/// A service over the house's database that looks for holds so often.
async fn replica(house: &House, interval: Duration) -> Booking {
    replica_with(house, interval, |_| {}).await
}

async fn replica_with(house: &House, interval: Duration, change: impl FnOnce(&mut Settings)) -> Booking {
    let common = harness::settings(house.service.url.clone(), &house.service.keys);
    let mut settings = harness::booking_settings(common);
    settings.hold_expiry_interval = interval;
    change(&mut settings);
    Booking::configured(settings, house.service.url.clone(), house.service.keys.clone()).await.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_has_run_out_is_refused_at_once_and_its_seats_are_free_soon() {
    let house = House::open(10).await;
    let made = house.book(4).await;
    house.sql("UPDATE bookings SET paid_cents = 1000").await;
    house.run_out(&made.booking_id).await;
    // Nobody has looked yet.
    let refused = house.act(Change::Confirm, &made.booking_id).await.expect_err("too late");
    let expected = ("HOLD_EXPIRED".to_owned(), "BOOKING_STATUS_PENDING".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
    assert_eq!(house.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 4);

    let _replica = replica(&house, Duration::from_millis(10)).await;
    let status = "SELECT status = 'EXPIRED' FROM bookings";
    eventually("the hold expires", async || house.service.scalar::<bool>(status).await).await;
    assert_eq!(house.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 0);
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let expired = house.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    let expired = expired.expect("the booking");
    assert_eq!((expired.status(), expired.version, expired.refund_due_cents), (BookingStatus::Expired, 2, 1000));
    assert!(expired.hold_expires_at.is_none() && expired.confirmed_at.is_none());
    let refused = house.act(Change::Confirm, &made.booking_id).await.expect_err("too late");
    let expected = ("HOLD_EXPIRED".to_owned(), "BOOKING_STATUS_EXPIRED".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_miscounted_keeps_no_hold_from_expiring() {
    let house = House::open(200).await;
    for _ in 0..3 {
        house.book(2).await;
    }
    house.sql("UPDATE slots SET reserved = 1 WHERE reserved = 6").await;
    let made = house.book(2).await;
    house.act(Change::Move("18:30"), &made.booking_id).await.expect("moved");
    house.sql("UPDATE bookings SET hold_expires_at = 'epoch'").await;
    let _replica = replica(&house, Duration::from_millis(10)).await;
    let all = "SELECT count(*) = 4 FROM bookings WHERE status = 'EXPIRED'";
    eventually("all of them expire", async || house.service.scalar::<bool>(all).await).await;
    assert_eq!(house.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_confirming_and_expiring_exactly_one_wins_on_any_number_of_replicas() {
    let house = House::open(500).await;
    let mut bookings = Vec::new();
    for _ in 0..150 {
        bookings.push(house.book(2).await.booking_id);
    }
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(replica(&house, Duration::from_millis(10)).await);
    }
    house.sql("UPDATE bookings SET hold_expires_at = clock_timestamp() + random() * interval '600 milliseconds'").await;
    let calls = bookings.iter().enumerate().map(|(n, id)| {
        let clients = &replicas[n % 3].clients;
        async move {
            tokio::time::sleep(Duration::from_millis(n as u64 * 4)).await;
            super::act(clients, Change::Confirm, id, "").await
        }
    });
    let answers = join_all(calls).await;
    let confirmed = answers.iter().filter(|answer| answer.is_ok()).count();
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refusal(refused, "").0, "HOLD_EXPIRED");
    }
    let waiting = "SELECT count(*) FROM bookings WHERE status = 'PENDING'";
    eventually("all are decided", async || house.service.scalar::<i64>(waiting).await == 0).await;

    assert!((1..150).contains(&confirmed), "a race: {confirmed} were confirmed");
    let firm = "SELECT count(*) FROM bookings WHERE status = 'CONFIRMED' AND version = 2";
    assert_eq!(house.service.scalar::<i64>(firm).await, i64::try_from(confirmed).expect("few"));
    assert_eq!(house.service.scalar::<i64>("SELECT count(*) FROM bookings WHERE version <> 2").await, 0);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_looks_only_at_what_is_due_however_many_wait() {
    let house = House::open(60_000).await;
    house.book(1).await;
    // Many that wait, as many that waited once, and some that are due.
    house
        .sql(
            "INSERT INTO bookings
             SELECT (jsonb_populate_record(b, jsonb_build_object(
                 'booking_id', gen_random_uuid(), 'confirmation_code', gen_random_uuid(),
                 'status', CASE WHEN n % 2 = 0 THEN 'PENDING' ELSE 'CONFIRMED' END,
                 'confirmed_at', CASE WHEN n % 2 = 1 THEN now() END,
                 'hold_expires_at', CASE WHEN n % 2 = 0 THEN now() + (n - 400) * interval '1 second' END))).*
             FROM bookings b, generate_series(1, 40000) AS n;
             INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
             SELECT gen_random_uuid(), booking_id, 1, 'x', now(), '{}', '' FROM bookings
             ON CONFLICT (booking_id, version) DO NOTHING;
             UPDATE slots SET reserved = 20001 WHERE reserved = 1",
        )
        .await;
    let mut connection = harness::connect(&house.service.url).await;
    settle(&mut connection).await;
    run(&mut connection, format!("PREPARE due (timestamptz, bigint) AS {DUE}")).await;
    change::prepare(&mut connection).await;
    let due = plan(&mut connection, "due (now(), 64)").await;
    assert!(due.contains("Index Scan using bookings_hold on bookings") && !due.contains("Rows Removed"), "{due}");
    let scan = due.lines().find(|line| line.contains("Index Scan using bookings_hold")).expect("the scan");
    assert!(scan.contains("rows=64"), "it stops at the bound: {scan}");

    let ids = "SELECT array_agg(booking_id::text) FROM (
                   SELECT booking_id FROM bookings WHERE hold_expires_at <= now() ORDER BY hold_expires_at LIMIT 64) AS due";
    let loaded = plan(&mut connection, &change::load(&house.service.scalar::<Vec<String>>(ids).await)).await;
    assert!(loaded.lines().next().is_some_and(|top| top.contains("rows=64")), "{loaded}");
    assert!(loaded.contains("using bookings_pkey") && !loaded.contains("Seq Scan"), "{loaded}");
    assert!(buffers(&loaded) < 2000, "{loaded}");

    let expired = Decided {
        bookings: "(SELECT * FROM bookings WHERE hold_expires_at <= now() ORDER BY hold_expires_at LIMIT 64) AS b",
        becomes: Some(r#"{"status": "EXPIRED", "hold_expires_at": null}"#),
        seats: "-party_size",
        payments: "[]",
    };
    let expire = expired.call(&mut connection).await;
    let committed = plan(&mut connection, &expire).await;
    assert!(!committed.contains("Seq Scan") && !committed.contains("Merge Join"), "{committed}");
    assert!(buffers(&committed) < 10_000, "{committed}");
    let expired = "SELECT count(*) FROM bookings WHERE status = 'EXPIRED'";
    assert_eq!(house.service.scalar::<i64>(expired).await, 64);
}

/// A worker whose events are to be published, and wait for that.
async fn publishing(house: &House) -> Booking {
    let nats = NatsSettings { url: SecretString::from("nats://127.0.0.1:1"), ..Default::default() };
    replica_with(house, Duration::from_millis(10), |settings| settings.outbox.nats = Some(nats)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_of_an_expiry_fails_nothing_is_left() {
    let house = House::open(10).await;
    let made = house.book(4).await;
    house.run_out(&made.booking_id).await;
    let before = house.service.written().await;
    // What a sequence counted stays counted.
    house
        .sql(
            "CREATE SEQUENCE failures;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM nextval('failures'); RAISE 'made to fail'; END $$",
        )
        .await;
    for write in ["UPDATE slots", "INSERT booking_events", "UPDATE bookings", "INSERT outbox_messages"] {
        let (verb, table) = write.split_once(' ').expect("two words");
        house.sql(format!("CREATE TRIGGER fail BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")).await;
        let worker = publishing(&house).await;
        let failed = "SELECT is_called FROM failures";
        eventually(write, async || house.service.scalar::<bool>(failed).await).await;
        worker.service.stop().await;
        assert_eq!(house.service.written().await, before, "{write}");
        house.sql(format!("DROP TRIGGER fail ON {table}; SELECT setval('failures', 1, false)")).await;
    }
    let _worker = publishing(&house).await;
    let written = "SELECT count(*) FROM outbox_messages";
    eventually("all is well again", async || house.service.scalar::<i64>(written).await == 1).await;
    house.assert_sound().await;
}
