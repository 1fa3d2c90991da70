//! The cost of each statement does not depend on the number of follow-ups. With publication on, changes write events.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use teppan_tests::harness::{self, Conversation};
use uuid::Uuid;

const SCHEDULE: &str = include_str!("../../../conversation-service/src/follow_ups/schedule.sql");
const CANCEL: &str = include_str!("../../../conversation-service/src/follow_ups/cancel.sql");
const EARLIEST: &str = include_str!("../../../conversation-service/src/follow_ups/list_earliest_first.sql");
const LATEST: &str = include_str!("../../../conversation-service/src/follow_ups/list_latest_first.sql");
const PURGE: &str = include_str!("../../../conversation-service/src/purge.sql");

/// 60,000 follow-ups of 5,000 conversations and 2,000 subjects, with three triggers and five states.
const MANY: &str = "
    INSERT INTO follow_ups (follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, max_attempts,
                            next_attempt_at, message_id, created_at, updated_at, finished_at, cancellation_reason)
    SELECT gen_random_uuid(), 'chat-' || n % 5000, (ARRAY['POST_EVENT', 'REENGAGEMENT', 'EMOTION_BASED'])[1 + n % 3],
           'subject:00000000-0000-0000-0000-' || lpad((n % 2000)::text, 12, '0'), status, at, 'UTC', 5, CASE WHEN status = 'PENDING' THEN at END, gen_random_uuid(), at, at,
           CASE WHEN status <> 'PENDING' THEN at END, CASE status WHEN 'CANCELLED' THEN 'REQUESTED' END
    FROM generate_series(1, 60000) AS n,
         LATERAL (SELECT (ARRAY['COMPLETED', 'CANCELLED', 'FAILED', 'MISSED', 'PENDING'])[1 + n % 5],
                         timestamptz '2030-01-01Z' + n * interval '7 minutes') AS it (status, at)
    ON CONFLICT DO NOTHING;
    INSERT INTO idempotency_keys (method, key, fingerprint, outcome, created_at)
    SELECT 'CancelFollowUp', n::text, decode(repeat('00', 32), 'hex'), 'NOTHING', timestamptz '2030-01-01Z' + n * interval '1 s'
    FROM generate_series(1, 60000) AS n";

/// A connection with the settings of the service's own. Its statements are prepared while the tables are empty.
async fn prepared(service: &Conversation) -> PgConnection {
    let mut connection = harness::connect(&service.url).await;
    let list = "text[], text[], text, text, timestamptz, timestamptz, timestamptz, uuid, bigint, bigint";
    run(&mut connection, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
    for (name, types, statement) in [
        ("earliest", list, EARLIEST),
        ("latest", list, LATEST),
        ("schedule", "", SCHEDULE),
        ("cancel", "", CANCEL),
        ("purge", "timestamptz, timestamptz", PURGE),
    ] {
        let types = if types.is_empty() { String::new() } else { format!("({types})") };
        run(&mut connection, format!("PREPARE {name} {types} AS {statement}")).await;
    }
    connection
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("the SQL runs");
}

async fn plan(connection: &mut PgConnection, call: &str) -> String {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {call}");
    let lines = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.expect("a plan");
    let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    lines.join("\n")
}

/// Pages that the whole statement read. The topmost node includes those of all nodes.
fn buffers(plan: &str) -> u64 {
    let top = plan.lines().find(|line| line.trim_start().starts_with("Buffers: shared")).expect("buffers");
    let number = |what| top.split(what).nth(1).and_then(|rest: &str| rest.split(' ').next()?.parse::<u64>().ok());
    number("hit=").unwrap_or(0) + number("read=").unwrap_or(0)
}

/// The indexes that a plan reads.
fn used(plan: &str) -> Vec<&str> {
    let scans = plan.lines().filter(|line| line.contains(" using follow_ups") && !line.contains("never executed"));
    scans.filter_map(|line| line.split(" using ").nth(1)?.split(' ').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_follow_up_list_reads_a_few_ranges_of_one_index() {
    let service = Conversation::start().await.ready().await;
    let mut connection = prepared(&service).await;
    run(&mut connection, MANY).await;
    let any_trigger = "'{POST_EVENT,REENGAGEMENT,EMOTION_BASED,CUSTOM,REMINDER}'";
    let any_status = "'{PENDING,CLAIMED,COMPLETED,CANCELLED,FAILED,MISSED}'";
    let middle = "'2030-06-01Z'";
    for (conversation, subject, index) in [
        ("NULL", "NULL", "follow_ups_list"),
        ("'chat-7'", "NULL", "follow_ups_list_by_conversation"),
        ("NULL", "'subject:00000000-0000-0000-0000-000000000007'", "follow_ups_list_by_subject"),
        ("'chat-7'", "'subject:00000000-0000-0000-0000-000000000007'", "follow_ups_list_by_conversation"),
    ] {
        for (trigger, status) in
            [(any_trigger, any_status), ("'{POST_EVENT}'", "'{COMPLETED}'"), (any_trigger, "'{PENDING,FAILED}'")]
        {
            for range in ["NULL, NULL", "'2030-03-01Z', '2030-09-01Z'"] {
                for (list, first) in
                    [("earliest", "NULL"), ("latest", "NULL"), ("earliest", middle), ("latest", middle)]
                {
                    let after = "'00000000-0000-0000-0000-000000000000'";
                    let call = format!(
                        "{list} ({trigger}, {status}, {conversation}, {subject}, {range}, {first}, {after}, 51, 2097152)"
                    );
                    let plan = plan(&mut connection, &call).await;
                    assert_eq!(used(&plan), [index], "{call}: {plan}");
                    assert!(!plan.contains("Seq Scan"), "{call}: {plan}");
                    // Rows are filtered only when both a conversation and a subject are given.
                    let filtered = plan.contains("Rows Removed by Filter");
                    assert!(!filtered || (conversation != "NULL" && subject != "NULL"), "{call}: {plan}");
                    assert!(buffers(&plan) < 30 * 60, "{call}: {plan}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduling_and_cancelling_read_a_few_pages() {
    let service = Conversation::start().await.ready().await;
    let mut connection = prepared(&service).await;
    run(&mut connection, MANY).await;
    let schedule = |key: &str, chat: &str, moves: bool, revision: &str| {
        let (id, message, event) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let hash = "'\\x0000000000000000000000000000000000000000000000000000000000000000'";
        let [minutes, times, late, ids] = if revision == "NULL" {
            ["'{}'"; 4]
        } else {
            let ids = "ARRAY[gen_random_uuid(), gen_random_uuid()]";
            ["'{1440,180}'", "'{2029-12-30Z,2029-12-31Z}'", "'{false,false}'", ids]
        };
        format!(
            "schedule ('{key}', {hash}, '{id}', '{chat}', 'POST_EVENT', 'subject:00000000-0000-0000-0000-000000000009', '2030-01-01Z', 'UTC', '', NULL, NULL,
                       NULL, 5, '{message}', NULL, {moves}, true, '{event}', '2029-01-01Z', NULL, '{id}', 'TRANSACTIONAL',
                       {revision}, {minutes}, {times}, {late}, {ids}, {ids}, '2030-01-01Z')"
        )
    };
    let hash = "'\\x0000000000000000000000000000000000000000000000000000000000000000'";
    for call in [
        schedule("a", "made", false, "1"),
        schedule("b", "made", false, "NULL"),
        schedule("d", "made", false, "2"),
        schedule("c", "made", true, "3"),
        schedule("c", "made", true, "3"),
        schedule("e", "made", true, "NULL"),
        format!(
            "cancel ('a', {hash}, NULL, 'made', 'POST_EVENT', 'subject:00000000-0000-0000-0000-000000000009', '2029-01-01Z')"
        ),
        format!(
            "cancel ('a', {hash}, NULL, 'made', 'POST_EVENT', 'subject:00000000-0000-0000-0000-000000000009', '2029-01-01Z')"
        ),
        format!("cancel (NULL, {hash}, '{}', NULL, NULL, NULL, '2029-01-01Z')", Uuid::now_v7()),
    ] {
        let plan = plan(&mut connection, &call).await;
        assert!(!plan.contains("Seq Scan") && buffers(&plan) < 150, "{call}: {plan}");
        assert!(!plan.contains("Hash Join") && !plan.contains("Merge Join"), "{call}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purge_finds_old_rows_by_an_index() {
    let service = Conversation::start().await.ready().await;
    let mut connection = prepared(&service).await;
    run(&mut connection, MANY).await;
    let plan = plan(&mut connection, "purge ('2030-01-01 00:05Z', '2030-01-08Z')").await;
    assert!(plan.contains("using idempotency_keys_created") && plan.contains("using follow_ups_finished"), "{plan}");
    assert!(plan.contains("Tid Scan on follow_ups") && plan.contains("Tid Scan on idempotency_keys"), "{plan}");
    assert!(!plan.contains("Seq Scan") && !plan.contains("Rows Removed by Filter"), "{plan}");
    assert!(buffers(&plan) < 15_000, "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_or_moved_follow_up_is_published_only_when_publication_is_on() {
    let service = Conversation::start().await.ready().await;
    let mut connection = harness::connect(&service.url).await;
    run(&mut connection, "SET timezone = 'UTC'").await;
    let now: DateTime<Utc> = "2029-01-01T00:00:00Z".parse().expect("a time");
    let due: DateTime<Utc> = "2030-01-15T12:00:00Z".parse().expect("a time");
    for (key, moves, publishes) in [("a", false, true), ("b", false, true), ("c", true, true), ("d", true, false)] {
        sqlx::query(SCHEDULE)
            .bind(key)
            .bind(vec![0_u8; 32])
            .bind(Uuid::now_v7())
            .bind("web-7f3a91")
            .bind("POST_EVENT")
            .bind("booking")
            .bind(due)
            .bind("UTC")
            .bind("")
            .bind(None::<Vec<u8>>)
            .bind(None::<Vec<u8>>)
            .bind(None::<Vec<u8>>)
            .bind(5)
            .bind(Uuid::now_v7())
            .bind("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .bind(moves)
            .bind(publishes)
            .bind(Uuid::now_v7())
            .bind(now)
            .bind(None::<Vec<u8>>)
            .bind(None::<Uuid>)
            .bind("TRANSACTIONAL")
            .bind(None::<i64>)
            .bind(Vec::<i32>::new())
            .bind(Vec::<DateTime<Utc>>::new())
            .bind(Vec::<bool>::new())
            .bind(Vec::<Uuid>::new())
            .bind(Vec::<Uuid>::new())
            .bind(None::<DateTime<Utc>>)
            .fetch_one(&mut connection)
            .await
            .expect("answered");
    }
    let id: Uuid = service.scalar("SELECT follow_up_id FROM follow_ups").await;
    let query = "SELECT type, aggregate_id, created_at, data, traceparent, next_attempt_at
                 FROM outbox_messages ORDER BY version";
    let events = sqlx::query(query).fetch_all(&mut connection).await.expect("answered");
    assert_eq!(events.len(), 2, "neither an existing follow-up nor an unpublished change is an event");
    for (event, moved) in events.iter().zip([false, true]) {
        assert_eq!(event.get::<String, _>("type"), "teppan.follow_up.scheduled.v1");
        assert_eq!(event.get::<String, _>("aggregate_id"), "web-7f3a91");
        assert_eq!(event.get::<DateTime<Utc>, _>("created_at"), now);
        assert_eq!(event.get::<DateTime<Utc>, _>("next_attempt_at"), now);
        assert!(event.get::<Option<String>, _>("traceparent").is_some());
        let expected = json!({
            "follow_up_id": id.to_string(),
            "conversation_id": "web-7f3a91",
            "trigger": "FOLLOW_UP_TRIGGER_POST_EVENT",
            "subject": "booking",
            "occurred_at": "2029-01-01T00:00:00+00:00",
            "due_at": "2030-01-15T12:00:00+00:00",
            "moved": moved,
        });
        assert_eq!(event.get::<serde_json::Value, _>("data"), expected);
    }
}
