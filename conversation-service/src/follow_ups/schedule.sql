-- ScheduleFollowUp: a follow-up made, moved or left as it is, in one statement that commits by itself.
--
-- Always one row. `answer` is
--   done       what `outcome` says was done (CREATED, MOVED, EXISTING), to the follow-up below, by this run or
--              by an earlier one of the same call, whose answer was lost: the key is as old as the call, and
--              what was made has its id;
--   replayed   this key did what `outcome` says earlier, to the follow-up below, of which all columns
--              are null when it is gone; compare `fingerprint`;
--   claimed    nothing was written: the one to be moved is being sent. It was so in the snapshot in
--              which the key was absent too, so no twin of this call moved it first;
--   reseal     nothing was written: text or metadata are to be sealed for the follow-up below, the one
--              to be moved, and the statement run again;
--   contended  nothing was written: the one to be moved changed between snapshot and lock. Perhaps a twin
--              with this key moved it, so only running the statement again can tell.
-- A call that commits first while this one runs makes a step fail, on follow_ups_unfinished_key when it
-- made a follow-up for the same conversation, trigger and subject, on idempotency_keys_pkey when it had
-- the same key. Then nothing was written, and running again finds what it did.
--
-- Whatever is EXISTING existed in the snapshot; that it is finished meanwhile is as if it were a moment
-- later. Locks are taken on the follow-up first, as its row or as its place in the unique index, then on
-- the key, as everywhere: nobody waits for a follow-up while holding a key.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, follow_up_id, outcome,
        -- two calls may come in one microsecond
        created_at = $19::timestamptz AND (outcome <> 'CREATED' OR follow_up_id = $3::uuid) AS is_own
    FROM idempotency_keys
    WHERE method = 'ScheduleFollowUp' AND key = $1
),
found AS MATERIALIZED (            -- the one that is not finished
    SELECT *
    FROM follow_ups
    WHERE conversation_id = $4 AND trigger = $5 AND subject = $6 AND finished_at IS NULL
      AND NOT EXISTS (SELECT FROM prior)
),
wish AS MATERIALIZED (             -- whether it is to be moved, and what forbids it
    SELECT CASE WHEN status = 'CLAIMED' AND lease_expires_at > $19::timestamptz THEN 'claimed'
                WHEN follow_up_id <> $3 AND ($11::bytea IS NOT NULL OR $12::bytea IS NOT NULL) THEN 'reseal'
           END AS obstacle
    FROM found
    WHERE $16
),
created AS (                       -- no ON CONFLICT: who lost to another one has to see it
    INSERT INTO follow_ups (
        follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, channel, user_id, content_sealed,
        metadata_sealed, max_attempts, next_attempt_at, message_id, traceparent, created_at, updated_at)
    SELECT $3::uuid, $4, $5, $6, 'PENDING', $7::timestamptz, $8, $9::text, $10, $11, $12, $13, $7, $14, $15, $19, $19
    WHERE NOT EXISTS (SELECT FROM prior) AND NOT EXISTS (SELECT FROM found)
    RETURNING follow_ups.*
),
moved AS (                         -- it waits anew: what was chosen, claimed or failed for the old time is void
    UPDATE follow_ups AS f
    SET status = 'PENDING', due_at = $7, next_attempt_at = $7, time_zone = $8, content_sealed = $11,
        metadata_sealed = $12, ready_at = NULL, attempts = 0, last_failure_reason = '', lease_expires_at = NULL,
        claim_token = NULL, claim_key = NULL, claimant = NULL, traceparent = $15,
        channel = CASE WHEN $9 = '' THEN f.channel ELSE $9 END,
        user_id = COALESCE($10, f.user_id),
        updated_at = GREATEST(f.updated_at, $19)
    FROM found, wish
    WHERE f.follow_up_id = found.follow_up_id
      AND wish.obstacle IS NULL
      -- the gate: a claim or an end since the snapshot is seen on the row itself
      AND (f.status = 'PENDING' OR f.lease_expires_at <= $19)
    RETURNING f.*
),
done AS (
    SELECT 'CREATED' AS outcome, * FROM created
    UNION ALL
    SELECT 'MOVED', * FROM moved
    UNION ALL
    SELECT 'EXISTING', * FROM found WHERE NOT $16
),
event AS (                         -- only where it is published
    INSERT INTO outbox_messages (event_id, conversation_id, type, occurred_at, data, traceparent, next_attempt_at)
    SELECT $18, conversation_id, 'teppan.follow_up.scheduled.v1', $19,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $19, 'due_at', due_at,
               'moved', outcome = 'MOVED'),
           $15, $19
    FROM done
    WHERE $17 AND outcome <> 'EXISTING'
),
claim AS (                         -- no ON CONFLICT: losing to a twin must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, follow_up_id, outcome, created_at)
    SELECT 'ScheduleFollowUp', $1, $2, follow_up_id, outcome, $19
    FROM done
),
reply AS (
    SELECT 'done' AS answer, NULL::bytea AS fingerprint, done.* FROM done
    UNION ALL
    SELECT CASE WHEN prior.is_own THEN 'done' ELSE 'replayed' END, prior.fingerprint, prior.outcome, f.*
    FROM prior
    LEFT JOIN follow_ups AS f ON f.follow_up_id = prior.follow_up_id
    UNION ALL
    SELECT COALESCE(wish.obstacle, 'contended'), NULL, NULL, found.*
    FROM found, wish
    WHERE NOT EXISTS (SELECT FROM done)
)
SELECT
    answer AS "answer!",
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
FROM reply
