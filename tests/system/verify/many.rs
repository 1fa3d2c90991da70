use sqlx::{AssertSqlSafe, Row as _};
use teppan_tests::{harness, launch};
use tokio::{io::AsyncReadExt as _, process::Command};

use super::verify;
use crate::{changes::VenueFixture, environment};

const BOOKINGS: &str = include_str!("../../../booking-service/src/verification/bookings.sql");
const SLOTS: &str = include_str!("../../../booking-service/src/verification/slots.sql");

/// Inserts this many bookings with one event each, as CreateBooking does, beside one real booking.
pub async fn with_many(count: u32) -> VenueFixture {
    let fixture = VenueFixture::without_deposit(50_000).await;
    fixture.book(1).await;
    fixture
        .sql(format!(
            "CREATE TEMP TABLE made AS
             SELECT gen_random_uuid() AS booking_id, 'C' || n AS code FROM generate_series(1, {count}) AS n;
             ALTER TABLE booking_events DROP CONSTRAINT booking_events_booking_id_fkey;
             INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
             SELECT gen_random_uuid(), m.booking_id, 1, e.type, e.occurred_at,
                    (e.data::jsonb || jsonb_build_object('booking_id', m.booking_id, 'confirmation_code', m.code))::json, ''
             FROM made m, (SELECT * FROM booking_events LIMIT 1) AS e;
             INSERT INTO bookings
             SELECT (jsonb_populate_record(b, jsonb_build_object(
                 'booking_id', m.booking_id, 'confirmation_code', m.code, 'event_hash', e.hash))).*
             FROM made m JOIN booking_events e USING (booking_id) CROSS JOIN bookings b;
             UPDATE slots SET reserved = {count} + 1 WHERE reserved = 1"
        ))
        .await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_bookings_are_verified_in_bounded_memory() {
    let fixture = with_many(20_000).await;
    let mut child = Command::new(launch::binary("booking-service"))
        .arg("verify-events")
        .envs(environment::with_keys(&fixture.service.url))
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary is built: cargo build --workspace --bins");
    let status = format!("/proc/{}/status", child.id().expect("the process runs"));
    let mut peak_kib = 0;
    let ended = loop {
        // The peak memory of the process, as the kernel counts it.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak_kib = peak_kib.max(kib.unwrap_or_default());
        if let Ok(ended) = tokio::time::timeout(std::time::Duration::from_millis(5), child.wait()).await {
            break ended.expect("the process ends");
        }
    };
    let mut report = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut report).await.expect("UTF-8");
    assert_eq!(ended.code(), Some(0), "{report}");
    assert!(report.contains("Verified 20001 bookings with 20001 events") && report.contains("bookings/s"), "{report}");
    println!("{peak_kib} KiB at most. {report}");
    // The rows and events together take more memory than that.
    assert!((1..64 * 1024).contains(&peak_kib), "{peak_kib} KiB");

    let report = verify(&fixture.service.url, &["--repair-projection"]).await;
    assert!(report.code == Some(0) && report.summary.contains("Rebuilt 20001 rows"), "{}", report.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rebuild_leaves_the_bookings_unchanged() {
    let fixture = with_many(20_000).await;
    let rows = "SELECT md5(string_agg(xmin || b::text, ' ' ORDER BY booking_id)) FROM bookings b";
    let before = fixture.service.scalar::<String>(rows).await;
    let mut child = Command::new(launch::binary("booking-service"))
        .args(["verify-events", "--repair-projection", "--swap"])
        .envs(environment::with_keys(&fixture.service.url))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary is built: cargo build --workspace --bins");
    let begun = "SELECT count(*) > 0 FROM pg_class WHERE relname = 'bookings_rebuilt'";
    harness::eventually("the rebuild has begun", async || fixture.service.scalar::<bool>(begun).await).await;
    let pid = child.id().expect("the process runs").to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
    assert!(sent.success());
    let ended = child.wait().await.expect("the process ends");
    let mut report = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut report).await.expect("UTF-8");
    assert_eq!(ended.code(), Some(130), "{report}");
    assert!(report.contains("Interrupted"), "{report}");
    assert_eq!(fixture.service.scalar::<String>(rows).await, before);
    let again = verify(&fixture.service.url, &["--repair-projection", "--swap"]).await;
    again.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_its_own_bookings_and_events_and_no_others() {
    let fixture = with_many(20_000).await;
    let mut connection = harness::connect(&fixture.service.url).await;
    let prepare = format!(
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;
         PREPARE bookings_page (uuid, uuid, bigint, uuid) AS {BOOKINGS};
         PREPARE slots_page (uuid, date, time, uuid, bigint, uuid[]) AS {SLOTS}"
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.expect("prepared");
    let (nil, max) = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff");
    let bookings = format!("EXECUTE bookings_page ('{nil}', '{max}', 500, NULL)");
    // The page ends before the day of the bookings.
    let slots = format!("EXECUTE slots_page ('{nil}', '0001-01-01', '00:00', '{max}', 20, '{{}}')");
    for (call, pages) in [(bookings, 500 * 12), (slots, 20 * 12)] {
        for _ in ["without statistics", "with them"] {
            let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {call}");
            let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.expect("a plan");
            let plan = plan.iter().map(|line| line.get::<String, _>(0)).collect::<Vec<_>>().join("\n");
            assert!(!plan.contains("Seq Scan"), "{plan}");
            let top = plan.lines().find(|line| line.contains("Buffers: shared")).expect("buffers");
            let count = |name: &str| {
                let after = top.split(name).nth(1).map(|rest| rest.split(' ').next().unwrap_or_default());
                after.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
            };
            assert!(count("hit=") + count("read=") < pages, "{plan}");
            sqlx::raw_sql("ANALYZE; DEALLOCATE ALL").execute(&mut connection).await.expect("analyzed");
            let again = format!(
                "PREPARE bookings_page (uuid, uuid, bigint, uuid) AS {BOOKINGS};
                 PREPARE slots_page (uuid, date, time, uuid, bigint, uuid[]) AS {SLOTS}"
            );
            sqlx::raw_sql(AssertSqlSafe(again)).execute(&mut connection).await.expect("prepared");
        }
    }
}
