//! The cost of each statement depends on its batch only, not on the number of follow-ups. Each change writes its event.

use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgConnection};
use teppan_tests::harness;
use uuid::Uuid;

/// Name, text and a call of each statement.
fn statements() -> Vec<(&'static str, String, String)> {
    macro_rules! query {
        ($name:literal) => {
            include_str!(concat!("../../../conversation-service/src/follow_ups/", $name, ".sql")).to_owned()
        };
    }
    let id = Uuid::nil();
    let channels = "'{WEB,SMS,EMAIL,VOICE,WHATSAPP,FACEBOOK,INSTAGRAM,\"\"}'";
    let keyed = format!(
        "(now(), now() + interval '1 minute', {channels}, 10, 'a', 'key', ARRAY['\\x{}'::bytea], now(), 10, '{{Asia/Tokyo}}', ARRAY[now()], 100)",
        "00".repeat(32)
    );
    vec![
        ("claim", query!("claim"), keyed),
        ("due", query!("ready_load"), "(now())".to_owned()),
        ("miss", query!("miss"), "(now(), now() - interval '72 hours', true)".to_owned()),
        ("expire", query!("expire_leases"), "(now(), 60, 3600, true)".to_owned()),
        (
            "ready",
            query!("ready_commit"),
            format!(
                "('{{{id}}}', '{{2020-01-01}}', '{{x}}', '{{WEB}}', now(), true, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')"
            ),
        ),
        (
            "complete",
            query!("complete"),
            format!(
                "('{id}', '{id}', '{id}', NULL, NULL, now(), now(), '\\x{}', NULL, true, now(), 'chat-1')",
                "00".repeat(32)
            ),
        ),
        ("fail", query!("fail"), format!("('{id}', '{id}', now(), 'OTHER', false, NULL, 1, 2, true)")),
        ("reengage", query!("reengage"), "(now(), 2592000, now(), 'UTC', 5, now(), true, 'MARKETING')".to_owned()),
        (
            "record",
            query!("record_consent"),
            "(md5('customer-7')::uuid, 'TRANSACTIONAL', '', false, 9, now())".to_owned(),
        ),
        ("delete_customer", query!("delete_customer"), "(md5('customer-8')::uuid)".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_dispatch_statement_reads_more_than_its_batch() {
    let url = database_with_many().await;
    let mut connection = harness::connect(&url).await;
    // The settings of the service's own connections.
    run(&mut connection, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
    for (name, statement, call) in statements() {
        run(&mut connection, format!("PREPARE {name} AS {statement}")).await;
        let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE {name} {call}");
        run(&mut connection, "BEGIN").await;
        let lines = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.expect(name);
        run(&mut connection, "ROLLBACK").await;
        let plan = lines.iter().map(|line| sqlx::Row::get(line, 0)).collect::<Vec<String>>().join("\n");
        assert!(!plan.contains("Seq Scan on"), "{name}: {plan}");
        // A batch has at most 128 follow-ups. Each takes a few pages in the table and its ten indexes.
        assert!(buffers(&plan) < 12_000, "{name}: {} {plan}", buffers(&plan));
        for step in plan.lines().filter(|line| line.contains("Index Scan") || line.contains("Index Only Scan")) {
            assert!(rows(step) <= 1200, "{name}: {step}\n{plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_follow_up_is_published_without_personal_data() {
    let url = database_with_many().await;
    let mut connection = harness::connect(&url).await;
    for (name, statement, call) in statements() {
        run(&mut connection, format!("PREPARE {name} AS {statement}; EXECUTE {name} {call}")).await;
    }
    let claimed = "SELECT follow_up_id, claim_token, message_id, conversation_id
                   FROM follow_ups WHERE status = 'CLAIMED' AND claimant = 'a' LIMIT 2";
    let claimed: Vec<(Uuid, Uuid, Uuid, String)> =
        sqlx::query_as(claimed).fetch_all(&mut connection).await.expect("claimed");
    let (id, token, message, chat) = &claimed[0];
    let zeros = "00".repeat(32);
    run(&mut connection, format!("EXECUTE complete ('{id}', '{token}', '{message}', NULL, 'WEB', now(), now(), '\\x{zeros}', NULL, true, now(), '{chat}')")).await;
    let (id, token, ..) = &claimed[1];
    run(&mut connection, format!("EXECUTE fail ('{id}', '{token}', now(), 'OTHER', true, NULL, 1, 2, true)")).await;
    let waiting =
        "SELECT follow_up_id, updated_at::text FROM follow_ups WHERE status = 'PENDING' AND ready_at IS NULL LIMIT 1";
    let (id, seen): (Uuid, String) = sqlx::query_as(waiting).fetch_one(&mut connection).await.expect("one is pending");
    run(
        &mut connection,
        format!(
            "EXECUTE ready ('{{{id}}}', ARRAY['{seen}'::timestamptz], '{{x}}', '{{WEB}}', now(), true, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')"
        ),
    )
    .await;

    let types = "SELECT string_agg(DISTINCT type, ' ' ORDER BY type) FROM outbox_messages";
    assert_eq!(
        harness::scalar::<String>(&url, types).await,
        "teppan.follow_up.completed.v1 teppan.follow_up.due.v1 teppan.follow_up.failed.v1 \
         teppan.follow_up.missed.v1 teppan.follow_up.scheduled.v1"
    );
    let well_formed = "SELECT bool_and(o.data->>'follow_up_id' IS NOT NULL AND o.data->>'conversation_id' = o.aggregate_id
                     AND o.data->>'trigger' LIKE 'FOLLOW\\_UP\\_TRIGGER\\_%' AND (o.data->>'occurred_at')::timestamptz = o.created_at
                     AND NOT o.data::text LIKE '%user-%') FROM outbox_messages AS o";
    assert!(harness::scalar::<bool>(&url, well_formed).await);
    let message =
        "SELECT data->>'sequence' = '1' AND data->>'attempts' = '1' FROM outbox_messages WHERE type LIKE '%completed%'";
    assert!(harness::scalar::<bool>(&url, message).await);
}

/// A database with 25,000 follow-ups in all states, of customers with consents, and no service that changes them.
async fn database_with_many() -> SecretString {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let rows = "
        INSERT INTO conversations (conversation_id, user_hash, user_sealed, channel, message_count, last_message_at,
                                   customer_wrote_at, created_at, updated_at)
        SELECT 'chat-' || n, sha256(('user-' || n)::bytea), '', 'WEB', 1, now(), now() - interval '31 days', now(), now()
        FROM generate_series(1, 5000) AS n;
        INSERT INTO reengagement_checks SELECT sha256(('user-' || n)::bytea), now() FROM generate_series(1, 5000) AS n;
        INSERT INTO follow_ups (
            follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, channel, content_sealed, ready_at,
            attempts, max_attempts, next_attempt_at, lease_expires_at, claim_token, claim_key, message_id, created_at,
            updated_at, finished_at, customer_id)
        SELECT gen_random_uuid(), 'new-' || n, 'POST_EVENT', '', s.status, now() - make_interval(hours => n % 100), 'UTC',
               (ARRAY['WEB', 'SMS', ''])[1 + n % 3], 'x', CASE WHEN n % 8 <> 0 THEN now() END, 1 - (s.status = 'PENDING')::int, 1,
               CASE WHEN n % 8 < 4 THEN now() - make_interval(hours => n % 100) END,
               CASE WHEN s.status = 'CLAIMED' THEN now() - interval '1 minute' END,
               gen_random_uuid(), 'key-' || n, gen_random_uuid(), now(), now(), CASE WHEN n % 8 >= 4 THEN now() END,
               md5('customer-' || n % 5000)::uuid
        FROM generate_series(1, 20000) AS n
        CROSS JOIN LATERAL (SELECT CASE WHEN n % 8 < 3 THEN 'PENDING' WHEN n % 8 = 3 THEN 'CLAIMED' ELSE 'FAILED' END AS status) AS s;
        INSERT INTO follow_ups (
            follow_up_id, conversation_id, trigger, status, due_at, time_zone, attempts, max_attempts, message_id,
            created_at, updated_at, finished_at, customer_id)
        SELECT gen_random_uuid(), 'chat-' || n, 'POST_EVENT', 'FAILED', now(), 'UTC', 1, 1, gen_random_uuid(), now(), now(),
               now(), md5('customer-' || n)::uuid
        FROM generate_series(1, 5000) AS n;
        INSERT INTO customer_consents
        SELECT md5('customer-' || n)::uuid, purpose, channel, true, 2
        FROM generate_series(1, 5000) AS n,
             unnest('{TRANSACTIONAL,MARKETING}'::text[]) AS purpose, unnest('{\"\",WEB,SMS}'::text[]) AS channel";
    harness::execute(&url, rows).await;
    harness::execute(&url, "VACUUM ANALYZE").await;
    url
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.expect("the SQL runs");
}

/// Pages that the whole statement read. The topmost node includes those of all nodes.
fn buffers(plan: &str) -> u64 {
    number(plan.lines().find(|line| line.trim_start().starts_with("Buffers: shared")).expect("buffers"), "hit=")
}

/// Rows that a plan node returned, in all its loops.
fn rows(step: &str) -> u64 {
    let Some((_, actual)) = step.split_once("(actual ") else { return 0 };
    number(actual, "rows=") * number(actual, "loops=")
}

fn number(text: &str, after: &str) -> u64 {
    let rest = text.split(after).nth(1).unwrap_or_default();
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}
