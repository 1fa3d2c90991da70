-- FailFollowUp: returns a follow-up that could not be sent to the queue, or ends it.
--
-- $1 follow-up, $2 token of the claim, $3 now, $4 reason, $5 whether it is permanent, $6 requested pause in
-- seconds or null, $7 first pause in seconds, $8 longest pause, $9 whether events are published.
--
-- One row, with the follow-up if there is one. `outcome` is
--   failed     it was changed;
--   unchanged  an earlier call with this claim has failed it;
--   finished   it ended otherwise; see `status`;
--   lost       another call has claimed it, or it was moved to another time;
--   missing    there is no such follow-up.
WITH target AS MATERIALIZED (      -- row lock; sees the latest committed version
    SELECT * FROM follow_ups WHERE follow_up_id = $1 FOR UPDATE
),
checked AS MATERIALIZED (
    SELECT $5 OR attempts >= max_attempts AS ends,
           CASE WHEN status = 'FAILED' AND claim_token = $2 THEN 'unchanged'
                WHEN finished_at IS NOT NULL THEN 'finished'
                WHEN claim_token IS DISTINCT FROM $2 OR ready_at IS NULL THEN 'lost'
                -- the sender's reason replaces LEASE_EXPIRED
                WHEN status = 'PENDING' AND last_failure_reason IS DISTINCT FROM 'LEASE_EXPIRED' THEN 'unchanged'
                ELSE 'failed'
           END AS outcome
    FROM target
),
failed AS (
    UPDATE follow_ups AS f
    SET status = CASE WHEN k.ends THEN 'FAILED' ELSE 'PENDING' END,
        last_failure_reason = $4,
        -- doubles with each attempt; the jitter spreads follow-ups that failed together
        next_attempt_at = CASE WHEN NOT k.ends THEN $3::timestamptz + make_interval(secs => COALESCE(
            $6, LEAST($8::double precision, $7::double precision * 2 ^ LEAST(f.attempts - 1, 20)) * (0.5 + random() / 2)))
            END,
        lease_expires_at = NULL,
        finished_at = CASE WHEN k.ends THEN $3 END,
        updated_at = $3
    FROM checked AS k
    WHERE f.follow_up_id = $1 AND k.outcome = 'failed'
    RETURNING f.*
),
event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.failed.v1', $3,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $3::timestamptz,
               'attempts', attempts, 'reason', 'FOLLOW_UP_FAILURE_REASON_' || last_failure_reason),
           traceparent, $3
    FROM failed
    WHERE status = 'FAILED' AND $9::boolean
),
reply AS (
    SELECT * FROM failed
    UNION ALL
    SELECT * FROM target WHERE NOT EXISTS (SELECT FROM failed)
)
SELECT COALESCE((SELECT outcome FROM checked), 'missing') AS "outcome!", r AS "follow_up?: _"
FROM (SELECT) AS always
LEFT JOIN reply AS r ON true
