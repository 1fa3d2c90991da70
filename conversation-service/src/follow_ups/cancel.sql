-- CancelFollowUp: the follow-up $3, or the one that is not finished for a conversation, a trigger and a
-- subject ($4, $5, $6), is cancelled, in one statement that commits by itself.
--
-- Always one row. `answer` is
--   done       `outcome` says what: CANCELLED; UNCHANGED, because it was cancelled before; NOTHING, because
--              there was none for conversation, trigger and subject. Cancelled before is also what an earlier
--              run of this call cancelled, whose answer was lost: it ended when this call was made;
--   replayed   this key led to `outcome` earlier; compare `fingerprint`. All columns of the follow-up are
--              null when there was nothing, or when it is gone;
--   not_found  nothing was written: there is no follow-up $3;
--   finished   nothing was written: the follow-up below was completed, failed or missed;
--   contended  nothing was written: it was finished between snapshot and lock. Perhaps a twin cancelled
--              it, so only running the statement again can tell.
-- A refusal is decided in the snapshot in which the key was absent too, so it is not a twin's doing. A
-- twin that commits first while this one runs makes the last step fail on idempotency_keys_pkey: then
-- nothing was written, and running again replays. Locks are taken on the follow-up first, then on the key.
WITH prior AS MATERIALIZED (       -- has this key been used? Without a key: no
    SELECT fingerprint, follow_up_id, outcome
    FROM idempotency_keys
    WHERE method = 'CancelFollowUp' AND key = $1
),
own AS MATERIALIZED (              -- with a key `prior` tells, and by its id it is found anyway
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
cancelled AS (                     -- a claim is lost: its token completes nothing any more
    UPDATE follow_ups AS f
    SET status = 'CANCELLED', finished_at = $7::timestamptz, next_attempt_at = NULL, lease_expires_at = NULL,
        claim_token = NULL, claim_key = NULL, claimant = NULL, updated_at = GREATEST(f.updated_at, $7)
    FROM found
    -- the gate: an end since the snapshot is seen on the row itself
    WHERE f.follow_up_id = found.follow_up_id AND f.finished_at IS NULL
    RETURNING f.*
),
done AS (
    SELECT 'CANCELLED' AS outcome, * FROM cancelled
    UNION ALL
    SELECT 'UNCHANGED', * FROM found WHERE status = 'CANCELLED'
    UNION ALL
    SELECT 'NOTHING', found.*
    FROM (SELECT) AS always
    LEFT JOIN found ON true
    WHERE $3::uuid IS NULL AND found.follow_up_id IS NULL AND NOT EXISTS (SELECT FROM prior)
),
claim AS (                         -- no ON CONFLICT: losing to a twin must undo the step above
    INSERT INTO idempotency_keys (method, key, fingerprint, follow_up_id, outcome, created_at)
    SELECT 'CancelFollowUp', $1::text, $2, follow_up_id, outcome, $7
    FROM done
    WHERE $1 IS NOT NULL
),
reply AS (
    SELECT 'done' AS answer, NULL::bytea AS fingerprint, done.* FROM done
    UNION ALL
    SELECT 'replayed', prior.fingerprint, prior.outcome, f.*
    FROM prior
    LEFT JOIN follow_ups AS f ON f.follow_up_id = prior.follow_up_id
    UNION ALL
    SELECT CASE WHEN found.finished_at IS NULL THEN 'contended' ELSE 'finished' END, NULL, NULL, found.*
    FROM found
    WHERE NOT EXISTS (SELECT FROM done)
)
SELECT
    COALESCE(answer, 'not_found') AS "answer!",
    fingerprint AS "fingerprint?",
    outcome AS "outcome?",
    follow_up_id AS "follow_up_id?",
    conversation_id AS "conversation_id?",
    trigger AS "trigger?",
    subject AS "subject?",
    status AS "status?",
    due_at AS "due_at?",
    time_zone AS "time_zone?",
    channel AS "channel?",
    user_id AS "user_id?",
    content_sealed AS "content_sealed?",
    metadata_sealed AS "metadata_sealed?",
    attempts AS "attempts?",
    max_attempts AS "max_attempts?",
    next_attempt_at AS "next_attempt_at?",
    lease_expires_at AS "lease_expires_at?",
    last_failure_reason AS "last_failure_reason?",
    message_id AS "message_id?",
    created_at AS "created_at?",
    updated_at AS "updated_at?",
    finished_at AS "finished_at?"
FROM (SELECT) AS always
LEFT JOIN reply ON true
