//! Lists and checks cost what they return, however many bookings and slots exist.

use sqlx::{AssertSqlSafe, PgConnection};
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
};

use super::bookings::{copy_bookings, copy_very_many_bookings};

const EARLIEST: &str = include_str!("../../../booking-service/src/bookings/list_earliest_first.sql");
const LATEST: &str = include_str!("../../../booking-service/src/bookings/list_latest_first.sql");
const CHECK: &str = include_str!("../../../booking-service/src/slots/batch_check_availability.sql");
const AVAILABILITY: &str = include_str!("../../../booking-service/src/slots/list_availability.sql");
const SUGGESTED: &str = include_str!("../../../booking-service/src/slots/suggest.sql");
const CLAIM: &str = include_str!("../../../booking-service/src/slots/claim_layouts.sql");
const RANGE: &str = "'1970-01-01', '00:00', '00000000-0000-0000-0000-000000000000', \
                     '9999-12-31', '23:59:59', 'ffffffff-ffff-ffff-ffff-ffffffffffff'";

/// A database with one booking, and a connection with the settings of the service's connections.
async fn started() -> (Booking, String, PgConnection) {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10_000).await.expect("a venue").venue_id;
    booking.clients.bookings.create_booking(fixtures::booking(&venue, 2)).await.expect("booked");
    let mut connection = harness::connect(&booking.url).await;
    run(&mut connection, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
    (booking, venue, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_bookings_is_a_range_of_an_index() {
    let (booking, venue, mut connection) = started().await;
    let types = "text, uuid, uuid, text[], date, time, uuid, date, time, uuid, bigint, bigint";
    run(&mut connection, format!("PREPARE earliest ({types}) AS {EARLIEST}")).await;
    run(&mut connection, format!("PREPARE latest ({types}) AS {LATEST}")).await;
    // A connection plans a statement once, perhaps while the tables are nearly empty: the plan must suit large tables.
    for statement in ["earliest", "latest"] {
        plan(&mut connection, &format!("{statement} (NULL, NULL, NULL, NULL, {RANGE}, 5000, 51)")).await;
    }
    copy_bookings(&booking.url, 100_000).await;
    assert_pages_are_ranges(&mut connection, &venue).await;
    copy_very_many_bookings(&booking.url, 900_000).await;
    assert_pages_are_ranges(&mut connection, &venue).await;
}

async fn assert_pages_are_ranges(connection: &mut PgConnection, venue: &str) {
    let customer = "'00000000-0000-4000-8000-000000000005'";
    for (filters, index) in [
        ("NULL, NULL, NULL, NULL".to_owned(), "bookings_slot"),
        (format!("NULL, NULL, '{venue}', NULL"), "bookings_venue_slot"),
        (format!("NULL, {customer}, NULL, NULL"), "bookings_customer_slot"),
        (format!("NULL, {customer}, '{venue}', '{{CANCELLED}}'"), "bookings_customer_slot"),
        ("'chat-8', NULL, NULL, NULL".to_owned(), "bookings_conversation_slot"),
        (format!("'chat-8', {customer}, '{venue}', NULL"), "bookings_conversation_slot"),
    ] {
        for statement in ["earliest", "latest"] {
            let plan = plan(connection, &format!("{statement} ({filters}, {RANGE}, 5000, 51)")).await;
            let ran: Vec<_> = lines(&plan, "Index Scan").filter(|line| !line.contains("never executed")).collect();
            assert!(ran.iter().any(|line| line.contains(&format!("{index} "))), "{filters}\n{plan}");
            let others =
                ran.iter().filter(|line| line.contains(" on bookings ") && !line.contains(&format!("{index} ")));
            assert_eq!(others.count(), 0, "{filters}\n{plan}");
            assert!(!plan.contains("->  Sort") && !plan.contains("Seq Scan"), "{filters}\n{plan}");
            // The customer has one of the conversation's thousand rows: the scan reads all of them.
            let looked_at = if filters.starts_with("'chat-8', '0") { 1000 } else { 300 };
            assert!(buffers(&plan) < 2 * looked_at, "{filters}\n{plan}");
        }
    }
    // A page ends after this many rows, also when matching rows are rare or absent.
    for statement in ["earliest", "latest"] {
        let plan = plan(connection, &format!("{statement} (NULL, NULL, NULL, '{{EXPIRED}}', {RANGE}, 5000, 51)")).await;
        assert!(plan.contains("rows=5000") && !plan.contains("rows=5001"), "{plan}");
        assert!(buffers(&plan) < 30_000, "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checking_slots_probes_two_primary_keys_and_never_reads_bookings() {
    let (_booking, venue, mut connection) = started().await;
    // A hundred other venues, so that a scan of the slots would show.
    run(
        &mut connection,
        "INSERT INTO venues SELECT (jsonb_populate_record(v, jsonb_build_object('venue_id', gen_random_uuid()))).*
         FROM venues v, generate_series(1, 100);
         INSERT INTO slots SELECT v.venue_id, s.slot_date, s.start_time, s.starts_at, s.ends_at, s.capacity, 0, 0, 'OPEN'
         FROM slots s, venues v WHERE s.venue_id <> v.venue_id",
    )
    .await;
    run(&mut connection, format!("PREPARE checked (uuid[], date[], time[], integer[], timestamptz) AS {CHECK}")).await;
    let call = format!(
        "checked (array_fill('{venue}'::uuid, '{{500}}'), array_fill(current_date + 9, '{{500}}'),
                  array_fill('18:00'::time, '{{500}}'), array_fill(2, '{{500}}'), now())"
    );
    let checked = plan(&mut connection, &call).await;
    assert!(checked.contains("Index Scan using slots_pkey") && !checked.contains("bookings"), "{checked}");
    assert!(!checked.contains("Seq Scan") && !checked.contains("Hash") && !checked.contains("Merge"), "{checked}");
    assert!(buffers(&checked) < 500 * 8, "{checked}");

    let types = "uuid, date, date, date, time, integer, boolean, bigint, timestamptz, integer";
    run(&mut connection, format!("PREPARE listed ({types}) AS {AVAILABILITY}")).await;
    let call = format!("listed ('{venue}', NULL, NULL, '1970-01-01', '00:00', 2, false, 11, now(), 366)");
    let listed = plan(&mut connection, &call).await;
    assert!(listed.contains("slots_pkey") && !listed.contains("bookings") && !listed.contains("Seq Scan"), "{listed}");
    assert!(buffers(&listed) < 40, "{listed}");

    run(&mut connection, format!("PREPARE suggested (uuid[], date, time, date, time, timestamptz) AS {SUGGESTED}"))
        .await;
    let window = "current_date + 9, '17:00', current_date + 10, '04:00', now()";
    let venues = "SELECT array_agg(venue_id)::text FROM (SELECT venue_id FROM venues LIMIT 20) AS v";
    let venues: String = sqlx::query_scalar(venues).fetch_one(&mut connection).await.expect("venues");
    let call = format!("suggested ('{venues}', {window})");
    let suggested = plan(&mut connection, &call).await;
    assert!(suggested.contains("slots_pkey") && !suggested.contains("Seq Scan"), "{suggested}");
    assert!(suggested.contains("venues_pkey") && !suggested.contains("Merge"), "{suggested}");
    assert!(!suggested.contains("Rows Removed"), "only the window is read: {suggested}");
    // A probe of the venue and of the slots each, of a few pages.
    assert!(buffers(&suggested) < 20 * 12, "{suggested}");

    run(&mut connection, format!("PREPARE claimed (timestamptz, timestamptz, bigint) AS {CLAIM}")).await;
    let claimed = plan(&mut connection, "claimed (now(), now(), 20)").await;
    assert!(claimed.contains("using weekly_schedules_due") && !claimed.contains("Seq Scan"), "{claimed}");
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("the SQL runs");
}

async fn plan(connection: &mut PgConnection, call: &str) -> String {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {call}");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.expect("a plan");
    let rows: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, 0)).collect();
    rows.join("\n")
}

fn lines<'a>(plan: &'a str, part: &'a str) -> impl Iterator<Item = &'a str> {
    plan.lines().filter(move |line| line.contains(part))
}

/// Pages read by the whole statement: the topmost node counts all of them.
fn buffers(plan: &str) -> u64 {
    let top = lines(plan, "Buffers: shared").next().expect("buffers");
    let hit = top.split("hit=").nth(1).map(|rest| rest.split(' ').next().unwrap_or_default().to_owned());
    hit.and_then(|hit| hit.parse().ok()).expect("a number")
}
