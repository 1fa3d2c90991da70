use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _};
use teppan_shared::keys::Keys;
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};

use super::scheduling::{finish, request, schedule, scheduled};

const PURGE: &str = include_str!("../../../conversation-service/src/purge.sql");

/// Starts a service that purges every 20 ms.
async fn start_purging() -> Conversation {
    let (url, keys) = (harness::database(&conversation_service::app::DEFINITION).await, Keys::random());
    let common = harness::settings(url.clone(), &keys);
    let starting = Conversation::changed(common, url, keys, |settings| {
        settings.scheduling.retention.interval = Duration::from_millis(20);
    });
    starting.await.ready().await
}

/// Inserts finished follow-ups and idempotency keys of this age.
fn insert_old_rows(count: i32, age: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "INSERT INTO follow_ups (follow_up_id, conversation_id, trigger, status, due_at, time_zone, max_attempts,
                                 message_id, created_at, updated_at, finished_at)
         SELECT gen_random_uuid(), 'old-' || n, 'POST_EVENT', 'MISSED', at, 'UTC', 5, gen_random_uuid(), at, at, at
         FROM generate_series(1, {count}) AS n, (SELECT now() - interval '{age}') AS age (at);
         INSERT INTO idempotency_keys (method, key, fingerprint, outcome, created_at)
         SELECT 'CancelFollowUp', gen_random_uuid()::text, decode(repeat('00', 32), 'hex'), 'NOTHING', now() - interval '{age}'
         FROM generate_series(1, {count}) AS n"
    ))
}

async fn rows(service: &Conversation) -> (i64, i64) {
    let follow_ups = service.scalar("SELECT count(*) FROM follow_ups").await;
    (follow_ups, service.scalar("SELECT count(*) FROM idempotency_keys").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn old_follow_ups_and_keys_are_purged_but_not_recent_or_unfinished_ones() {
    let service = start_purging().await;
    let unfinished = request(&fixtures::conversation_id());
    schedule(&service, unfinished.clone()).await;
    let young = scheduled(&service, request(&fixtures::conversation_id())).await;
    finish(&service, &young.follow_up_id, "MISSED", "89 days 23 hours").await;
    let old = scheduled(&service, request(&fixtures::conversation_id())).await;
    finish(&service, &old.follow_up_id, "CANCELLED", "90 days 1 minute").await;
    let made = "UPDATE follow_ups SET created_at = now() - interval '5 years'";
    harness::execute(&service.url, made).await;
    let old_rows = format!("SELECT count(*) FROM follow_ups WHERE follow_up_id = '{}'", old.follow_up_id);
    harness::eventually("the old one is gone", async || {
        let mut connection = harness::connect(&service.url).await;
        let row = sqlx::query(AssertSqlSafe(old_rows.clone())).fetch_one(&mut connection).await.expect("answered");
        row.get::<i64, _>(0) == 0
    })
    .await;
    assert_eq!(rows(&service).await, (2, 3));

    let aged = "UPDATE idempotency_keys SET created_at = now() - interval '71 hours 59 minutes';
                UPDATE idempotency_keys SET created_at = now() - interval '72 hours 1 minute'
                WHERE key = (SELECT min(key) FROM idempotency_keys)";
    harness::execute(&service.url, aged).await;
    harness::eventually("the old key is gone", async || rows(&service).await == (2, 2)).await;
    // A call with a purged key is a new call: it finds the existing follow-up.
    assert!(!schedule(&service, unfinished).await.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_purged_in_bounded_batches() {
    let idle = Conversation::start().await.ready().await;
    harness::execute(&idle.url, insert_old_rows(2500, "100 days")).await;
    harness::execute(&idle.url, insert_old_rows(10, "1 hour")).await;
    let mut connection = harness::connect(&idle.url).await;
    let mut runs = Vec::new();
    loop {
        let run = sqlx::query(PURGE)
            .bind(chrono::Utc::now() - chrono::TimeDelta::hours(72))
            .bind(chrono::Utc::now() - chrono::TimeDelta::days(90))
            .fetch_one(&mut connection)
            .await
            .expect("a run");
        let (keys, follow_ups, more): (i64, i64, bool) = (run.get(0), run.get(1), run.get(2));
        runs.push((keys, follow_ups));
        if !more {
            break;
        }
    }
    assert_eq!(runs, [(1000, 1000), (1000, 1000), (500, 500)]);
    assert_eq!(rows(&idle).await, (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_clear_a_backlog_together() {
    let first = start_purging().await;
    let common = harness::settings(first.url.clone(), &first.keys);
    let second = Conversation::changed(common, first.url.clone(), first.keys.clone(), |settings| {
        settings.scheduling.retention.interval = Duration::from_millis(20);
    });
    let _second = second.await.ready().await;
    harness::execute(&first.url, insert_old_rows(5000, "100 days")).await;
    harness::execute(&first.url, insert_old_rows(10, "1 hour")).await;
    harness::eventually("the backlog is gone", async || rows(&first).await == (10, 10)).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(first.scalar::<i64>(deadlocks).await, 0);
}
