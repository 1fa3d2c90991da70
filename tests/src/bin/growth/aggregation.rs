//! One run of the emotion aggregation over 256 new messages, each of another conversation.

use std::time::Duration;

use chrono::Utc;
use sqlx::Row as _;

use crate::{GrowthError, Sized, timed};

const AGGREGATE: &str = include_str!("../../../../conversation-service/src/emotions/aggregate.sql");

/// Conversations of twenty messages, all counted.
pub const FILL: &str = "
    INSERT INTO conversations (conversation_id, channel, message_count, newest_scored_sequence, last_message_at, created_at, updated_at)
    SELECT 'c' || n, 'WEB', 20, 20, now(), now(), now() FROM generate_series(1, $count / 20) AS n
    --;
    INSERT INTO messages (message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score, sent_at, stored_at, fingerprint)
    SELECT gen_random_uuid(), 'c' || n, s, 'USER', 'WEB', decode(repeat('00', 100), 'hex'), 0.5, now(), now(), sha256('')
    FROM generate_series(1, $count / 20) AS n, generate_series(1, 20) AS s
    --;
    INSERT INTO emotion_statistics (conversation_id, aggregated_through, aggregated_after, score_count, score_sum, score_min,
        score_max, label_counts, recent_scores, recent_mean, trend_delta, updated_at)
    SELECT 'c' || n, 20, 0, 20, 10, 0.5, 0.5, '{}', array_fill(0.5, ARRAY[10]), 0.5, 0, now()
    FROM generate_series(1, $count / 20) AS n";

/// As StoreMessage leaves them.
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
    let aggregate = sqlx::query(AGGREGATE).bind(None::<String>).bind(Utc::now()).bind(false);
    let (row, took) = timed(aggregate.fetch_one(&mut database.connection)).await?;
    let done: i64 = row.get("done!");
    assert_eq!(u64::try_from(done), Ok(stored.rows_affected()), "all of them were counted");
    Ok(took)
}
