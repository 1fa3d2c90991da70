-- Writes the decisions of the clock about due follow-ups. Ready ones: $1 ids, $2 their `updated_at` when they were
-- loaded, $3 the chosen texts (null keeps the given text), $4 their channels. Waiting ones: $7 ids, $8 the times until
-- which they wait, $11 their `updated_at`. Cancelled ones: $9 ids, $10 their `updated_at`, $12 the reasons. $5 now, $6
-- whether events are published.
--
-- A follow-up that has changed in between (moved, cancelled, or made ready by another replica) is skipped, because its
-- `updated_at` differs or its row is locked. A later run finds it again if it is still due.
WITH locked AS MATERIALIZED (          -- without an order, because SKIP LOCKED never waits
    SELECT follow_up_id, updated_at, status = 'PENDING' AND ready_at IS NULL AS waits
    FROM follow_ups
    WHERE follow_up_id = ANY ($1::uuid[] || $7::uuid[] || $9::uuid[])
    FOR UPDATE SKIP LOCKED
),
chosen AS MATERIALIZED (
    SELECT n.follow_up_id, n.content_sealed, n.channel
    FROM unnest($1::uuid[], $2::timestamptz[], $3::bytea[], $4::text[])
         AS n (follow_up_id, seen_at, content_sealed, channel)
    JOIN locked AS l ON l.follow_up_id = n.follow_up_id AND l.updated_at = n.seen_at AND l.waits
),
ready AS (
    UPDATE follow_ups AS f
    SET ready_at = $5,
        content_sealed = COALESCE(c.content_sealed, f.content_sealed),
        channel = c.channel,
        updated_at = $5
    FROM chosen AS c
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM chosen)) AND f.follow_up_id = c.follow_up_id
    RETURNING f.*
),
waiting AS MATERIALIZED (
    SELECT n.follow_up_id, n.until
    FROM unnest($7::uuid[], $8::timestamptz[], $11::timestamptz[]) AS n (follow_up_id, until, seen_at)
    JOIN locked AS l ON l.follow_up_id = n.follow_up_id AND l.updated_at = n.seen_at AND l.waits
),
postponed AS (                         -- so that they do not block other due follow-ups
    UPDATE follow_ups AS f
    SET next_attempt_at = w.until
    FROM waiting AS w
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM waiting)) AND f.follow_up_id = w.follow_up_id
),
ending AS MATERIALIZED (
    SELECT n.follow_up_id, n.reason
    FROM unnest($9::uuid[], $10::timestamptz[], $12::text[]) AS n (follow_up_id, seen_at, reason)
    JOIN locked AS l ON l.follow_up_id = n.follow_up_id AND l.updated_at = n.seen_at AND l.waits
),
cancelled AS (
    UPDATE follow_ups AS f
    SET status = 'CANCELLED', cancellation_reason = e.reason, next_attempt_at = NULL, finished_at = $5, updated_at = $5
    FROM ending AS e
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM ending)) AND f.follow_up_id = e.follow_up_id
    RETURNING f.cancellation_reason
),
event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.due.v1', $5,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $5::timestamptz,
               'due_at', due_at),
           traceparent, $5
    FROM ready
    WHERE $6::boolean
)
SELECT (SELECT count(*) FROM ready) AS "ready!", (SELECT count(*) FROM cancelled) AS "cancelled!",
       (SELECT count(*) FROM cancelled WHERE cancellation_reason = 'CONSENT_MISSING') AS "withheld!",
       (SELECT count(*) FROM waiting) AS "postponed!"
