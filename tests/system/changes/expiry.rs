use std::time::Duration;

use booking_service::settings::Settings;
use futures::future::join_all;
use secrecy::SecretString;
use teppan_shared::{
    contract::booking::v1::{BookingStatus, GetBookingRequest},
    nats::NatsSettings,
};
use teppan_tests::harness::{self, Booking, eventually};

use super::{Change, VenueFixture, refusal};
use crate::statements::{
    apply_plan_settings, buffers,
    change::{self, Decided},
    plan, run,
};

const DUE: &str = include_str!("../../../booking-service/src/bookings/due_holds.sql");

/// Starts another replica, which expires holds at this interval.
async fn replica(fixture: &VenueFixture, interval: Duration) -> Booking {
    replica_with(fixture, interval, |_| {}).await
}

async fn replica_with(fixture: &VenueFixture, interval: Duration, change: impl FnOnce(&mut Settings)) -> Booking {
    let common = harness::settings(fixture.service.url.clone(), &fixture.service.keys);
    let mut settings = harness::booking_settings(common);
    settings.hold_expiry_interval = interval;
    change(&mut settings);
    Booking::configured(settings, fixture.service.url.clone(), fixture.service.keys.clone()).await.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_hold_cannot_be_confirmed_and_the_next_run_frees_its_seats() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.sql("UPDATE bookings SET paid_cents = 1000").await;
    fixture.expire_hold(&made.booking_id).await;
    // The next expiry run is an hour away.
    let refused = fixture.act(Change::Confirm, &made.booking_id).await.expect_err("too late");
    let expected = ("HOLD_EXPIRED".to_owned(), "BOOKING_STATUS_PENDING".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
    assert_eq!(fixture.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 4);

    let _replica = replica(&fixture, Duration::from_millis(10)).await;
    let status = "SELECT status = 'EXPIRED' FROM bookings";
    eventually("the hold expires", async || fixture.service.scalar::<bool>(status).await).await;
    assert_eq!(fixture.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 0);
    let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let expired = fixture.service.clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
    let expired = expired.expect("the booking");
    assert_eq!((expired.status(), expired.version, expired.refund_due_cents), (BookingStatus::Expired, 2, 1000));
    assert!(expired.hold_expires_at.is_none() && expired.confirmed_at.is_none());
    let refused = fixture.act(Change::Confirm, &made.booking_id).await.expect_err("too late");
    let expected = ("HOLD_EXPIRED".to_owned(), "BOOKING_STATUS_EXPIRED".to_owned());
    assert_eq!(refusal(&refused, "status"), expected);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holds_of_a_miscounted_slot_expire() {
    let fixture = VenueFixture::with_deposit(200).await;
    for _ in 0..3 {
        fixture.book(2).await;
    }
    fixture.sql("UPDATE slots SET reserved = 1 WHERE reserved = 6").await;
    let made = fixture.book(2).await;
    fixture.act(Change::Move("18:30"), &made.booking_id).await.expect("moved");
    fixture.sql("UPDATE bookings SET hold_expires_at = 'epoch'").await;
    let _replica = replica(&fixture, Duration::from_millis(10)).await;
    let all = "SELECT count(*) = 4 FROM bookings WHERE status = 'EXPIRED'";
    eventually("all holds expire", async || fixture.service.scalar::<bool>(all).await).await;
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 0);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_that_cannot_be_expired_do_not_delay_other_holds() {
    const MORE_THAN_A_BATCH: usize = 65;
    let fixture = VenueFixture::with_deposit(200).await;
    for _ in 0..MORE_THAN_A_BATCH {
        fixture.book(1).await;
    }
    fixture
        .sql(
            "UPDATE bookings SET source = 'refused', hold_expires_at = 'epoch';
             ALTER TABLE bookings ADD CONSTRAINT refused CHECK (source <> 'refused' OR status <> 'EXPIRED')",
        )
        .await;
    let later = fixture.book(1).await;
    fixture.expire_hold(&later.booking_id).await;
    let _replica = replica(&fixture, Duration::from_millis(10)).await;
    let expired = "SELECT count(*) = 1 FROM bookings WHERE status = 'EXPIRED'";
    eventually("the later hold expires", async || fixture.service.scalar::<bool>(expired).await).await;
    fixture.sql("ALTER TABLE bookings DROP CONSTRAINT refused").await;
    let expired = "SELECT count(*) = 66 FROM bookings WHERE status = 'EXPIRED'";
    eventually("all holds expire once the constraint is dropped", async || {
        fixture.service.scalar::<bool>(expired).await
    })
    .await;
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hold_is_either_confirmed_or_expired_when_several_replicas_race() {
    let fixture = VenueFixture::with_deposit(500).await;
    let mut bookings = Vec::new();
    for _ in 0..150 {
        bookings.push(fixture.book(2).await.booking_id);
    }
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(replica(&fixture, Duration::from_millis(10)).await);
    }
    fixture
        .sql("UPDATE bookings SET hold_expires_at = clock_timestamp() + random() * interval '600 milliseconds'")
        .await;
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
    eventually("no booking is pending", async || fixture.service.scalar::<i64>(waiting).await == 0).await;

    assert!((1..150).contains(&confirmed), "both outcomes occur: {confirmed} of 150 were confirmed");
    let firm = "SELECT count(*) FROM bookings WHERE status = 'CONFIRMED' AND version = 2";
    assert_eq!(fixture.service.scalar::<i64>(firm).await, i64::try_from(confirmed).expect("few"));
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM bookings WHERE version <> 2").await, 0);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_run_reads_only_the_holds_that_are_due() {
    let fixture = VenueFixture::with_deposit(60_000).await;
    fixture.book(1).await;
    // 20,000 pending bookings, of which about 200 are due, and 20,000 confirmed ones.
    fixture
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
    let mut connection = harness::connect(&fixture.service.url).await;
    apply_plan_settings(&mut connection).await;
    run(&mut connection, format!("PREPARE due (timestamptz, timestamptz, uuid, bigint) AS {DUE}")).await;
    change::prepare(&mut connection).await;
    let due = plan(&mut connection, &format!("due (now(), 'epoch', '{}', 64)", uuid::Uuid::nil())).await;
    assert!(due.contains("Index Scan using bookings_hold on bookings") && !due.contains("Rows Removed"), "{due}");
    let scan = due.lines().find(|line| line.contains("Index Scan using bookings_hold")).expect("the scan");
    assert!(scan.contains("rows=64"), "it stops at the batch size: {scan}");

    let ids = "SELECT array_agg(booking_id::text) FROM (
                   SELECT booking_id FROM bookings WHERE hold_expires_at <= now() ORDER BY hold_expires_at LIMIT 64) AS due";
    let loaded = plan(&mut connection, &change::load(&fixture.service.scalar::<Vec<String>>(ids).await)).await;
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
    assert_eq!(fixture.service.scalar::<i64>(expired).await, 64);
}

/// Starts a replica that queues its events for a NATS server that is unavailable.
async fn publishing(fixture: &VenueFixture) -> Booking {
    let nats = NatsSettings { url: SecretString::from("nats://127.0.0.1:1"), ..Default::default() };
    replica_with(fixture, Duration::from_millis(10), |settings| settings.outbox.nats = Some(nats)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_writes_nothing_when_one_of_its_writes_fails() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.expire_hold(&made.booking_id).await;
    let before = fixture.service.written().await;
    // A sequence keeps its value when a transaction is rolled back.
    fixture
        .sql(
            "CREATE SEQUENCE failures;
             CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM nextval('failures'); RAISE 'made to fail'; END $$",
        )
        .await;
    for write in ["UPDATE slots", "INSERT booking_events", "UPDATE bookings", "INSERT outbox_messages"] {
        let (verb, table) = write.split_once(' ').expect("two words");
        fixture.sql(format!("CREATE TRIGGER fail BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")).await;
        let worker = publishing(&fixture).await;
        let failed = "SELECT is_called FROM failures";
        eventually(write, async || fixture.service.scalar::<bool>(failed).await).await;
        worker.service.stop().await;
        assert_eq!(fixture.service.written().await, before, "{write}");
        fixture.sql(format!("DROP TRIGGER fail ON {table}; SELECT setval('failures', 1, false)")).await;
    }
    let _worker = publishing(&fixture).await;
    let written = "SELECT count(*) FROM outbox_messages";
    eventually("the expiry succeeds once no write fails", async || fixture.service.scalar::<i64>(written).await == 1)
        .await;
    fixture.assert_consistent().await;
}
