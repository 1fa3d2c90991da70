-- Writes the result of an aggregation run: $1 is an array with an object for each conversation, $2 now, $3 whether
-- events are published, $4 the sealed label counts of each conversation.
--
-- Concurrent runs neither count a message twice nor miss one: `statistics` writes only if the watermark is still the
-- one that the run loaded. The watermark only grows, so the whole row is then as it was loaded. A run that lost against
-- another one writes neither statistics nor suggestions for that conversation, and its pending rows stay for the next
-- run.
--
-- Order of locks: conversations, statistics, pending rows, as in conversations/delete.sql.
WITH counted AS MATERIALIZED (
    SELECT g.*
    FROM ROWS FROM (
        jsonb_to_recordset($1::jsonb) AS (
            conversation_id text, created_at timestamptz, through_before bigint, through bigint, score_count bigint,
            score_sum numeric, score_min double precision, score_max double precision, recent_scores numeric[],
            recent_mean double precision, trend_delta double precision, falls jsonb),
        unnest($4::bytea[])
    ) AS g (
        conversation_id, created_at, through_before, through, score_count, score_sum, score_min, score_max,
        recent_scores, recent_mean, trend_delta, falls, label_counts_sealed)
    CROSS JOIN LATERAL (               -- not deleted since they were loaded, nor until this run commits
        SELECT
        FROM conversations
        -- a conversation of the same id that began later is another one
        WHERE conversation_id = g.conversation_id AND created_at = g.created_at
        LIMIT 1
        FOR KEY SHARE
    ) AS alive
),
statistics AS (
    INSERT INTO emotion_statistics AS s (
        conversation_id, aggregated_through, aggregated_after, score_count, score_sum, score_min, score_max,
        label_counts_sealed, recent_scores, recent_mean, trend_delta, updated_at)
    SELECT c.conversation_id, c.through, c.through_before, c.score_count, c.score_sum, c.score_min, c.score_max,
           c.label_counts_sealed, c.recent_scores, c.recent_mean, c.trend_delta, $2
    FROM counted AS c
    WHERE c.through > c.through_before
    ORDER BY c.conversation_id         -- concurrent runs lock rows in the same order
    ON CONFLICT (conversation_id) DO UPDATE
    SET aggregated_through = EXCLUDED.aggregated_through,
        aggregated_after = EXCLUDED.aggregated_after,
        score_count = EXCLUDED.score_count,
        score_sum = EXCLUDED.score_sum,
        score_min = EXCLUDED.score_min,
        score_max = EXCLUDED.score_max,
        label_counts_sealed = EXCLUDED.label_counts_sealed,
        recent_scores = EXCLUDED.recent_scores,
        recent_mean = EXCLUDED.recent_mean,
        trend_delta = EXCLUDED.trend_delta,
        updated_at = EXCLUDED.updated_at
    WHERE s.aggregated_through = EXCLUDED.aggregated_after
    RETURNING s.conversation_id, s.aggregated_through
),
suggestions AS (
    INSERT INTO escalation_suggestions (
        conversation_id, sequence, event_id, recent_mean, recent_count, occurred_at, traceparent)
    SELECT c.conversation_id, fall.sequence, gen_random_uuid(), fall.recent_mean, fall.recent_count, $2, fall.traceparent
    FROM statistics AS s
    JOIN counted AS c ON c.conversation_id = s.conversation_id
    CROSS JOIN LATERAL jsonb_to_recordset(c.falls) AS fall (
        sequence bigint, recent_mean double precision, recent_count integer, traceparent text)
    RETURNING *
),
events AS (                            -- only if events are published
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT event_id, conversation_id, 'teppan.conversation.escalation_suggested.v1', occurred_at,
           json_build_object(
               'conversation_id', conversation_id, 'occurred_at', occurred_at, 'through_sequence', sequence::text,
               'recent_mean_score', recent_mean, 'recent_score_count', recent_count),
           traceparent, $2
    FROM suggestions
    WHERE $3::boolean
    ORDER BY conversation_id, sequence
),
done AS (                              -- counted by this or an earlier run; SKIP LOCKED, so that it never waits
    DELETE FROM emotion_pending
    WHERE ctid = ANY (ARRAY(
        SELECT p.ctid
        FROM counted AS c
        LEFT JOIN statistics AS s ON s.conversation_id = c.conversation_id
        CROSS JOIN LATERAL (
            SELECT ctid
            FROM emotion_pending
            WHERE conversation_id = c.conversation_id AND sequence <= COALESCE(s.aggregated_through, c.through_before)
            FOR UPDATE SKIP LOCKED
        ) AS p))
    RETURNING since
)
SELECT count(*) AS "done!", min(since) AS "oldest?", (SELECT count(*) FROM suggestions) AS "suggestions!",
       ARRAY(SELECT conversation_id FROM statistics) AS "written!"
FROM done
