-- FailFollowUp: a follow-up that could not be sent goes back into the queue, or ends.
--
-- $1 follow-up, $2 token of the claim, $3 now, $4 reason, $5 whether it is permanent, $6 pause that was
-- asked for in seconds or null, $7 and $8 first and longest pause in seconds, $9 whether events are
-- published.
--
-- One row, with the follow-up if there is one. `outcome` is
--   failed     it was changed;
--   unchanged  it had been failed by this claim before;
--   finished   it ended otherwise; see `status`;
--   lost       somebody else has claimed it, or it was moved to another time;
--   missing    there is no such follow-up.
WITH target AS MATERIALIZED (      -- locked, and as whoever had it before has left it
    SELECT * FROM follow_ups WHERE follow_up_id = $1 FOR UPDATE
),
checked AS MATERIALIZED (
    SELECT $5 OR attempts >= max_attempts AS ends,
           CASE WHEN status = 'FAILED' AND claim_token = $2 THEN 'unchanged'
                WHEN finished_at IS NOT NULL THEN 'finished'
                WHEN claim_token IS DISTINCT FROM $2 OR ready_at IS NULL THEN 'lost'
                -- the lease was over before: what the sender says is better than that
                WHEN status = 'PENDING' AND last_failure_reason <> 'LEASE_EXPIRED' THEN 'unchanged'
                ELSE 'failed'
           END AS outcome
    FROM target
),
failed AS (
    UPDATE follow_ups AS f
    SET status = CASE WHEN k.ends THEN 'FAILED' ELSE 'PENDING' END,
        last_failure_reason = $4,
        -- doubles with each attempt; jittered, so that what failed together does not come back together
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
    INSERT INTO outbox_messages (event_id, conversation_id, type, occurred_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.failed.v1', $3,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $3::timestamptz,
               'attempts', attempts, 'reason', last_failure_reason),
           traceparent, $3
    FROM failed
    WHERE status = 'FAILED' AND $9::boolean
),
reply AS (
    SELECT * FROM failed
    UNION ALL
    SELECT * FROM target WHERE NOT EXISTS (SELECT FROM failed)
)
SELECT
    COALESCE((SELECT outcome FROM checked), 'missing') AS "outcome!",
    r.follow_up_id AS "follow_up_id?",
    r.conversation_id AS "conversation_id?",
    r.trigger AS "trigger?",
    r.subject AS "subject?",
    r.status AS "status?",
    r.due_at AS "due_at?",
    r.time_zone AS "time_zone?",
    r.channel AS "channel?",
    r.user_id AS "user_id?",
    r.content_sealed AS "content_sealed?",
    r.metadata_sealed AS "metadata_sealed?",
    r.attempts AS "attempts?",
    r.max_attempts AS "max_attempts?",
    r.next_attempt_at AS "next_attempt_at?",
    r.lease_expires_at AS "lease_expires_at?",
    r.last_failure_reason AS "last_failure_reason?",
    r.message_id AS "message_id?",
    r.created_at AS "created_at?",
    r.updated_at AS "updated_at?",
    r.finished_at AS "finished_at?",
    r.claim_token AS "claim_token?",
    r.traceparent AS "traceparent?",
    NULL::bigint AS "sequence?",
    NULL::timestamptz AS "sent_at?",
    NULL::timestamptz AS "stored_at?"
FROM (SELECT) AS always
LEFT JOIN reply AS r ON true
