-- CancelFollowUp: cancels a follow-up, in one statement that commits by itself.
--
-- $1 key or null, $2 fingerprint, $3 follow-up; or without $3 the unfinished one of conversation $4, trigger $5
-- and subject $6; $7 now.
--
-- Always one row. `answer` is
--   done       with the `outcome` CANCELLED; UNCHANGED, because it was cancelled before; or NOTHING, because none
--              has the conversation, trigger and subject. UNCHANGED is also the outcome when an earlier run of this
--              call cancelled it and its answer was lost: then it ended at $7;
--   replayed   an earlier call with this key had the result `outcome`; compare `fingerprint`. The follow-up is null
--              when there was none, or when it was deleted;
--   not_found  nothing was written: there is no follow-up $3;
--   finished   nothing was written: the returned follow-up was completed, failed or missed;
--   contended  nothing was written: it ended between snapshot and lock. A concurrent duplicate may have cancelled
--              it: run again.
-- In the snapshot of a refusal the key does not exist yet, so no concurrent duplicate caused it. If a concurrent
-- duplicate commits first, the last step fails on idempotency_keys_pkey. Then nothing was written, and the next run
-- replays. Order of locks: the follow-up, the reminders, then the key. With a follow-up POST_EVENT the reminders of its
-- subject are cancelled, also when the follow-up itself is finished or was never scheduled.
WITH prior AS MATERIALIZED (       -- has this key been used? Without a key: no
    SELECT fingerprint, follow_up_id, outcome
    FROM idempotency_keys
    WHERE method = 'CancelFollowUp' AND key = $1
),
own AS MATERIALIZED (              -- cancelled by an earlier run of this call, without $1 and $3
    SELECT *
    FROM follow_ups
    WHERE conversation_id = $4 AND trigger = $5 AND subject = $6 AND status = 'CANCELLED' AND finished_at = $7::timestamptz
      AND $1 IS NULL
),
found AS MATERIALIZED (
    SELECT *
    FROM follow_ups
    WHERE follow_up_id = $3
      AND NOT EXISTS (SELECT FROM prior)
    UNION ALL
    SELECT *
    FROM own
    UNION ALL
    SELECT *
    FROM follow_ups
    WHERE conversation_id = $4 AND trigger = $5 AND subject = $6 AND finished_at IS NULL
      AND NOT EXISTS (SELECT FROM prior) AND NOT EXISTS (SELECT FROM own)
),
cancelled AS (                     -- a claim is revoked: its token cannot complete the follow-up any more
    UPDATE follow_ups AS f
    SET status = 'CANCELLED', cancellation_reason = 'REQUESTED', finished_at = $7::timestamptz, next_attempt_at = NULL,
        lease_expires_at = NULL, claim_token = NULL, claim_key = NULL, claimant = NULL, updated_at = GREATEST(f.updated_at, $7)
    FROM found
    -- the gate: the locked row shows whether the follow-up ended after the snapshot
    WHERE f.follow_up_id = found.follow_up_id AND f.finished_at IS NULL
    RETURNING f.*
),
done AS (
    SELECT *, 'CANCELLED' AS outcome FROM cancelled
    UNION ALL
    SELECT *, 'UNCHANGED' FROM found WHERE status = 'CANCELLED'
    UNION ALL
    SELECT found.*, 'NOTHING'
    FROM (SELECT) AS always
    LEFT JOIN found ON true
    WHERE $3::uuid IS NULL AND found.follow_up_id IS NULL AND NOT EXISTS (SELECT FROM prior)
),
reminder AS MATERIALIZED (         -- locked in one order
    SELECT follow_up_id
    FROM follow_ups
    WHERE conversation_id = $4 AND trigger = 'REMINDER' AND starts_with(subject, $6 || ':') AND finished_at IS NULL
      AND $5 = 'POST_EVENT' AND EXISTS (SELECT FROM done)
    ORDER BY follow_up_id
    FOR NO KEY UPDATE
),
dropped AS (
    UPDATE follow_ups AS f
    SET status = 'CANCELLED', cancellation_reason = 'REQUESTED', finished_at = $7, next_attempt_at = NULL,
        lease_expires_at = NULL, claim_token = NULL, claim_key = NULL, claimant = NULL,
        updated_at = GREATEST(f.updated_at, $7)
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM reminder))
    RETURNING 1
),
claim AS (                         -- no ON CONFLICT: losing to a concurrent duplicate must undo the step above
    INSERT INTO idempotency_keys (method, key, fingerprint, follow_up_id, outcome, created_at)
    SELECT 'CancelFollowUp', $1::text, $2, follow_up_id, outcome, $7
    FROM done
    WHERE $1 IS NOT NULL AND (SELECT count(*) FROM reminder) >= 0
),
reply AS (
    SELECT done.*, 'done' AS answer, NULL::bytea AS fingerprint FROM done
    UNION ALL
    SELECT f.*, prior.outcome, 'replayed', prior.fingerprint
    FROM prior
    LEFT JOIN follow_ups AS f ON f.follow_up_id = prior.follow_up_id
    UNION ALL
    SELECT found.*, NULL, CASE WHEN found.finished_at IS NULL THEN 'contended' ELSE 'finished' END, NULL
    FROM found
    WHERE NOT EXISTS (SELECT FROM done)
)
SELECT COALESCE(answer, 'not_found') AS "answer!", fingerprint AS "fingerprint?", outcome AS "outcome?: _",
       CASE WHEN follow_up_id IS NOT NULL THEN reply END AS "follow_up?: _",
       (SELECT count(*) FROM dropped) AS "reminders!"
FROM (SELECT) AS always
LEFT JOIN reply ON true
