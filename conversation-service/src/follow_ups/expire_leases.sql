-- Returns claims with an expired lease to the queue, or ends them as FAILED after the last attempt. $1 now, $2 first
-- pause in seconds, $3 longest pause, $4 whether events are published.
--
-- The token of the claim stays in the row: until another call claims the follow-up, the sender can still report it as
-- sent.
WITH expired AS MATERIALIZED (
    SELECT follow_up_id
    FROM follow_ups
    WHERE status = 'CLAIMED' AND lease_expires_at <= $1
    ORDER BY lease_expires_at
    LIMIT 128
    FOR UPDATE SKIP LOCKED
),
back AS (
    UPDATE follow_ups AS f
    SET status = CASE WHEN f.attempts >= f.max_attempts THEN 'FAILED' ELSE 'PENDING' END,
        last_failure_reason = 'LEASE_EXPIRED',
        -- as in fail.sql
        next_attempt_at = CASE WHEN f.attempts < f.max_attempts THEN $1::timestamptz + make_interval(
            secs => LEAST($3::double precision, $2::double precision * 2 ^ LEAST(f.attempts - 1, 20)) * (0.5 + random() / 2))
            END,
        lease_expires_at = NULL,
        finished_at = CASE WHEN f.attempts >= f.max_attempts THEN $1 END,
        updated_at = $1
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM expired))
    RETURNING f.*
),
event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.failed.v1', $1,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $1::timestamptz,
               'attempts', attempts, 'reason', 'FOLLOW_UP_FAILURE_REASON_' || last_failure_reason),
           traceparent, $1
    FROM back
    WHERE status = 'FAILED' AND $4::boolean
)
SELECT count(*) AS "expired!" FROM back
