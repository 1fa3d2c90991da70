-- One run of the aggregation: the oldest 256 pending messages, or those of conversation $1, are counted
-- into the statistics of their conversations. $2 is the time, $3 whether events are published.
--
-- Always one row. `more` when there is reason to run again at once: as many were taken as may be, or some
-- of them are left, because their conversation has more messages than one run reads or because another
-- run was faster with it.
--
-- The limits are written out because the plan hangs on them: of a parameter the planner would think that
-- it takes a tenth of the queue, however long that is, and join accordingly.
--
-- Why nothing is counted twice or lost, in any number of runs at once:
--   * All steps see one snapshot. In it a conversation's messages have no gap, because each is numbered
--     under the lock of its conversation, which is held until it has committed. What was read up to
--     `through` is therefore all there will ever be up to it.
--   * The watermark becomes what was read, never what a pending row says.
--   * Statistics are written only where the watermark is still the one of the snapshot (`statistics`). A
--     run that waited there for a faster one finds it moved and writes nothing for that conversation,
--     neither statistics nor suggestions, and its pending rows stay for the next run.
--   * Only rows that this run has locked are removed, so that no run waits for another's queue.
--
-- Scores are added as the decimals that clients wrote: the text of a double is the shortest decimal that
-- reads back as it, whereas a cast to numeric keeps 15 of its up to 17 digits, and the mean could then be
-- below the lowest score. The decimals have the order of the doubles, so no mean leaves their range.
WITH oldest AS MATERIALIZED (          -- taken: other runs pass over these rows
    SELECT ctid AS place, conversation_id, sequence
    FROM emotion_pending
    WHERE $1::text IS NULL
    ORDER BY since
    LIMIT 256
    FOR UPDATE SKIP LOCKED
),
of_one AS MATERIALIZED (               -- waits for other runs: after this one nothing is pending
    SELECT ctid AS place, conversation_id, sequence
    FROM emotion_pending
    WHERE conversation_id = $1
    ORDER BY sequence
    LIMIT 256
    FOR UPDATE
),
taken AS MATERIALIZED (
    SELECT * FROM oldest UNION ALL SELECT * FROM of_one
),
before AS MATERIALIZED (               -- their conversations, with the statistics so far
    SELECT t.conversation_id,
           COALESCE(s.aggregated_through, 0) AS through,
           COALESCE(s.score_count, 0) AS score_count,
           COALESCE(s.score_sum, 0) AS score_sum,
           s.score_min,
           s.score_max,
           COALESCE(s.label_counts, '{}') AS label_counts,
           COALESCE(s.recent_scores, '{}') AS recent_scores
    FROM (SELECT DISTINCT conversation_id FROM taken) AS t
    LEFT JOIN LATERAL (                -- LIMIT: looked up one by one, not joined to the whole table
        SELECT * FROM emotion_statistics WHERE conversation_id = t.conversation_id LIMIT 1
    ) AS s ON true
),
fresh AS MATERIALIZED (                -- the messages after the watermark, by index
    SELECT b.conversation_id, m.sequence, m.emotion_score, m.emotion_score::text::numeric AS score, m.emotion_label,
           m.traceparent
    FROM before AS b
    CROSS JOIN LATERAL (
        SELECT sequence, emotion_score, emotion_label, traceparent
        FROM messages
        WHERE conversation_id = b.conversation_id AND sequence > b.through
          -- the index's own condition, and what is counted
          AND (emotion_score IS NOT NULL OR emotion_label IS NOT NULL OR emotion_detected <> '{}')
          AND (emotion_score IS NOT NULL OR emotion_label IS NOT NULL)
        ORDER BY sequence
        LIMIT 256
    ) AS m
),
added AS MATERIALIZED (                -- what they add
    SELECT conversation_id, max(sequence) AS through, count(score) AS score_count,
           COALESCE(sum(score), 0) AS score_sum, min(emotion_score) AS score_min, max(emotion_score) AS score_max
    FROM fresh
    GROUP BY conversation_id
),
-- Old counts and new labels together. Clients name labels as they like: the first 100 of a conversation are counted
-- by name, and all others together under '', which is no label.
labels AS (
    SELECT conversation_id, jsonb_object_agg(label, count) AS label_counts
    FROM (
        SELECT conversation_id, CASE WHEN rank <= 100 THEN label ELSE '' END AS label, sum(count)::bigint AS count
        FROM (
            SELECT conversation_id, label, sum(count) AS count,
                   row_number() OVER (PARTITION BY conversation_id ORDER BY label = '', min(first), label) AS rank
            FROM (
                SELECT b.conversation_id, known.key AS label, known.value::bigint AS count, 0 AS first
                FROM before AS b
                CROSS JOIN jsonb_each_text(b.label_counts) AS known
                UNION ALL
                SELECT conversation_id, emotion_label, 1, sequence FROM fresh WHERE emotion_label IS NOT NULL
            ) AS listed
            GROUP BY conversation_id, label
        ) AS ranked
        GROUP BY 1, 2
    ) AS summed
    GROUP BY conversation_id
),
series AS MATERIALIZED (               -- up to ten scores from before, at positions up to 0, then the new ones
    SELECT b.conversation_id, known.ordinal - 10 AS position, known.score
    FROM before AS b
    CROSS JOIN unnest(b.recent_scores) WITH ORDINALITY AS known (score, ordinal)
    UNION ALL
    SELECT conversation_id, sequence, score FROM fresh WHERE score IS NOT NULL
),
windows AS MATERIALIZED (              -- each score with the mean of the ten that end with it
    SELECT conversation_id, position, score,
           row_number() OVER (PARTITION BY conversation_id ORDER BY position DESC) AS newness,
           (avg(score) OVER ten)::double precision AS mean,
           count(*) OVER ten AS count
    FROM series
    WINDOW ten AS (PARTITION BY conversation_id ORDER BY position ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)
),
recent AS (                            -- in decimals too: ten scores of 0.3 are not below 0.3
    SELECT conversation_id,
           array_agg(score ORDER BY position) AS scores,
           avg(score)::double precision AS mean,
           CASE WHEN count(*) >= 4 THEN
               ((sum(score) FILTER (WHERE newness <= 2) - sum(score) FILTER (WHERE newness BETWEEN 3 AND 4)) / 2)::double precision
           END AS trend_delta
    FROM windows
    WHERE newness <= 10
    GROUP BY conversation_id
),
statistics AS (
    INSERT INTO emotion_statistics AS s (
        conversation_id, aggregated_through, aggregated_after, score_count, score_sum, score_min, score_max,
        label_counts, recent_scores, recent_mean, trend_delta, updated_at)
    SELECT b.conversation_id, a.through, b.through, b.score_count + a.score_count, b.score_sum + a.score_sum,
           LEAST(b.score_min, a.score_min), GREATEST(b.score_max, a.score_max),
           COALESCE(l.label_counts, '{}'), COALESCE(r.scores, '{}'), r.mean, r.trend_delta, $2
    FROM added AS a
    JOIN before AS b ON b.conversation_id = a.conversation_id
    LEFT JOIN labels AS l ON l.conversation_id = a.conversation_id
    LEFT JOIN recent AS r ON r.conversation_id = a.conversation_id
    ORDER BY b.conversation_id         -- runs that meet take turns instead of each waiting for the other
    ON CONFLICT (conversation_id) DO UPDATE
    SET aggregated_through = EXCLUDED.aggregated_through,
        aggregated_after = EXCLUDED.aggregated_after,
        score_count = EXCLUDED.score_count,
        score_sum = EXCLUDED.score_sum,
        score_min = EXCLUDED.score_min,
        score_max = EXCLUDED.score_max,
        label_counts = EXCLUDED.label_counts,
        recent_scores = EXCLUDED.recent_scores,
        recent_mean = EXCLUDED.recent_mean,
        trend_delta = EXCLUDED.trend_delta,
        updated_at = EXCLUDED.updated_at
    WHERE s.aggregated_through = EXCLUDED.aggregated_after
    RETURNING s.conversation_id, s.aggregated_through
),
suggestions AS (                       -- every fall among the new scores, also when there are several
    INSERT INTO escalation_suggestions (
        conversation_id, sequence, event_id, recent_mean, recent_count, occurred_at, traceparent)
    SELECT w.conversation_id, w.position, gen_random_uuid(), w.mean, w.count, $2, f.traceparent
    FROM (
        SELECT *, lag(mean) OVER (PARTITION BY conversation_id ORDER BY position) AS mean_before
        FROM windows
    ) AS w
    JOIN statistics AS s ON s.conversation_id = w.conversation_id
    JOIN fresh AS f ON f.conversation_id = w.conversation_id AND f.sequence = w.position
    WHERE w.mean < 0.3::double precision
      AND (w.mean_before IS NULL OR w.mean_before >= 0.3::double precision)
    RETURNING *
),
events AS (                            -- only where they are published
    INSERT INTO outbox_messages (event_id, conversation_id, type, occurred_at, data, traceparent, next_attempt_at)
    SELECT event_id, conversation_id, 'teppan.conversation.escalation_suggested.v1', occurred_at,
           json_build_object(
               'conversation_id', conversation_id, 'occurred_at', occurred_at, 'through_sequence', sequence,
               'recent_mean_score', recent_mean, 'recent_score_count', recent_count),
           traceparent, $2
    FROM suggestions
    WHERE $3::boolean
    ORDER BY conversation_id, sequence
),
done AS (                              -- counted by this run, or by an earlier one that saw it before its turn
    DELETE FROM emotion_pending AS p
    USING taken AS t
    JOIN before AS b ON b.conversation_id = t.conversation_id
    LEFT JOIN statistics AS s ON s.conversation_id = t.conversation_id
    WHERE p.ctid = t.place             -- rows of the queue are never updated: a locked one stays where it is
      AND t.sequence <= GREATEST(b.through, s.aggregated_through)
    RETURNING p.since
)
SELECT (SELECT count(*) FROM done) AS "done!",
       (SELECT count(*) FROM taken) > (SELECT count(*) FROM done)
           OR (SELECT count(*) FROM taken) = 256 AS "more!",
       (SELECT count(*) FROM suggestions) AS "suggestions!",
       (SELECT min(since) FROM done) AS "oldest?",
       -- the recorded traces that led here: as many as a span has links
       ARRAY(
           SELECT f.traceparent
           FROM statistics AS s
           JOIN fresh AS f ON f.conversation_id = s.conversation_id
           WHERE right(f.traceparent, 2) IN ('01', '03')
           LIMIT 128
       ) AS "traceparents!"
