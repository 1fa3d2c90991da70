//! The cost of reading does not depend on the number of events.

use sqlx::{AssertSqlSafe, PgConnection};
use teppan_tests::harness;

use super::{
    explain::{buffers, plan},
    fixture,
};

const ALL: &str = include_str!("../../../booking-service/src/event_stream/stream_events.sql");
const OF_BOOKING: &str = include_str!("../../../booking-service/src/event_stream/stream_events_of_booking.sql");
const OPEN: &str = include_str!("../../../booking-service/src/event_stream/open.sql");

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_event_stream_reads_a_range_of_an_index() {
    let (service, venue_id) = fixture::venue().await;
    fixture::book_many(&service, &venue_id, 1).await;
    // Several transactions, so that the stream positions differ.
    for _ in 0..20 {
        harness::execute(&service.url, AssertSqlSafe(fixture::copies(1000))).await;
    }
    let mut connection = harness::connect(&service.url).await;
    // The settings of the service's own connections.
    run(&mut connection, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
    run(&mut connection, format!("PREPARE opened AS {OPEN}")).await;
    run(&mut connection, format!("PREPARE looked (bigint, bigint, uuid, bigint, text, text[]) AS {ALL}")).await;
    run(&mut connection, format!("PREPARE own (bigint, bigint, uuid, bigint, text, text[], uuid) AS {OF_BOOKING}"))
        .await;
    let middle = "SELECT format('%s, %s, %L', stream_position, version, event_id)
                  FROM booking_events ORDER BY stream_position, version, event_id OFFSET 10000 LIMIT 1";
    let middle: String = service.scalar(middle).await;
    let booking: String = service.scalar("SELECT max(booking_id::text) FROM booking_events").await;

    for filters in ["NULL, NULL", "'x', NULL", "NULL, '{x}'"] {
        let plan = plan(&mut connection, &format!("looked ({middle}, 500, {filters})")).await;
        assert!(plan.contains("Index Scan using booking_events_stream"), "{plan}");
        assert!(plan.contains("Index Cond: ((ROW(stream_position, version, event_id) > "), "{plan}");
        assert!(plan.contains("AND (stream_position < pg_snapshot_xmin(pg_current_snapshot()))"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Rows Removed by Filter"), "{plan}");
        assert!(buffers(&plan) < 1500, "{plan}");
    }
    let own = plan(&mut connection, &format!("own (0, 0, '{booking}', 500, NULL, NULL, '{booking}')")).await;
    assert!(own.contains("Index Cond: (booking_id = ") && !own.contains("Seq Scan"), "{own}");
    assert!(buffers(&own) < 50, "{own}");
    let opened = plan(&mut connection, "opened").await;
    assert!(!opened.contains("Seq Scan on booking_events") && buffers(&opened) < 50, "{opened}");
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("the SQL runs");
}
