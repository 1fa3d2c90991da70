//! One run of the emotion aggregation over 256 new messages, each of another conversation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use crate::{GrowthError, Sized, timed};

const LOAD: &str = include_str!("../../../../conversation-service/src/emotions/aggregate_load.sql");
const COMMIT: &str = include_str!("../../../../conversation-service/src/emotions/aggregate_commit.sql");

/// Conversations of twenty messages, all of them aggregated.
pub const FILL: &str = "
    INSERT INTO conversations (conversation_id, channel, message_count, newest_scored_sequence, last_message_at, created_at, updated_at)
    SELECT 'c' || n, 'WEB', 20, 20, now(), now(), now() FROM generate_series(1, $count / 20) AS n
    --;
    INSERT INTO messages (message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score, sent_at, stored_at, fingerprint)
    SELECT gen_random_uuid(), 'c' || n, s, 'USER', 'WEB', decode(repeat('00', 100), 'hex'), 0.5, now(), now(), sha256('')
    FROM generate_series(1, $count / 20) AS n, generate_series(1, 20) AS s
    --;
    INSERT INTO emotion_statistics (conversation_id, aggregated_through, aggregated_after, score_count, score_sum, score_min,
        score_max, label_counts_sealed, recent_scores, recent_mean, trend_delta, updated_at)
    SELECT 'c' || n, 20, 0, 20, 10, 0.5, 0.5, '', array_fill(0.5, ARRAY[10]), 0.5, 0, now()
    FROM generate_series(1, $count / 20) AS n";

/// A message, as StoreMessage stores it.
const STORE: &str = "
    WITH chosen AS (
        SELECT DISTINCT ON (c.conversation_id) c.conversation_id, c.message_count + 1 AS sequence
        FROM (SELECT 'c' || (1 + floor(random() * ($1 / 20)))::int AS id FROM generate_series(1, 400)) AS r
        JOIN LATERAL (SELECT * FROM conversations WHERE conversation_id = r.id LIMIT 1) AS c ON true
        LIMIT 256
    ), counted AS (
        UPDATE conversations c SET message_count = sequence, newest_scored_sequence = sequence
        FROM chosen WHERE c.conversation_id = chosen.conversation_id
        RETURNING c.conversation_id, sequence
    ), stored AS (
        INSERT INTO messages (message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score, sent_at, stored_at, fingerprint)
        SELECT gen_random_uuid(), conversation_id, sequence, 'USER', 'WEB', decode(repeat('00', 100), 'hex'), 0.5, now(), now(), sha256('')
        FROM counted
        RETURNING conversation_id, sequence
    )
    INSERT INTO emotion_pending (conversation_id, sequence, since) SELECT conversation_id, sequence, now() FROM stored";

pub async fn run(database: &mut Sized) -> Result<Duration, GrowthError> {
    let count = i32::try_from(database.count).unwrap_or(i32::MAX);
    let stored = sqlx::query(STORE).bind(count).execute(&mut database.connection).await?;
    let (row, took) = timed(load_and_commit(&mut database.connection)).await?;
    let done: i64 = row.get("done!");
    assert_eq!(u64::try_from(done), Ok(stored.rows_affected()), "all of them were aggregated");
    Ok(took)
}

/// The two statements of the service, without its arithmetic.
async fn load_and_commit(connection: &mut PgConnection) -> Result<PgRow, sqlx::Error> {
    let loaded = sqlx::query(LOAD).bind(None::<String>).bind(DateTime::UNIX_EPOCH).fetch_all(&mut *connection).await?;
    let counted = loaded.iter().map(|row| {
        let sequences: Vec<i64> = row.get("sequences!");
        json!({
            "conversation_id": row.get::<String, _>("conversation_id!"),
            "created_at": row.get::<DateTime<Utc>, _>("created_at!"),
            "through_before": row.get::<i64, _>("through!"),
            "through": sequences.last(),
            "score_count": 20,
            "score_sum": "10",
            "score_min": 0.5,
            "score_max": 0.5,
            "recent_scores": vec![0.5; 10],
            "recent_mean": 0.5,
            "trend_delta": 0,
            "falls": [],
        })
    });
    let counted: Vec<_> = counted.collect();
    let label_counts = vec![vec![0_u8; 60]; counted.len()];
    let query = sqlx::query(COMMIT).bind(serde_json::Value::from(counted)).bind(Utc::now()).bind(false);
    query.bind(label_counts).fetch_one(connection).await
}
