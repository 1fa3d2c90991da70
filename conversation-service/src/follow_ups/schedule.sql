-- ScheduleFollowUp: creates a follow-up, moves it, or leaves it unchanged, in one statement that commits by itself.
--
-- $1 key, $2 fingerprint, $3 follow-up, $4 conversation, $5 trigger, $6 subject, $7 due at, $8 time zone,
-- $9 channel, $10 hash of the user, $11 text, $12 metadata, $13 attempts limit, $14 message, $15 traceparent,
-- $16 whether an existing one is moved, $17 whether events are published, $18 event, $19 now, $20 the user, sealed,
-- $21 customer, $22 purpose; $23 revision of the reminders, null without; $24 minutes before the event, $25 due at,
-- $26 whether they are late, $27 reminders, $28 their messages; $29 start of the event.
--
-- Always one row. `answer` is
--   done       this run, or an earlier run of the same call whose answer was lost, had the result `outcome` on the
--              returned follow-up;
--   replayed   an earlier call with this key had the result `outcome` on the returned follow-up, which is null when it
--              was deleted; compare `fingerprint`;
--   claimed    nothing was written: the follow-up to be moved is being sent. In the same snapshot the key does not
--              exist, so no concurrent duplicate moved it first;
--   reseal     nothing was written: seal text and metadata for the returned follow-up, and run again;
--   contended  nothing was written: the follow-up to be moved changed between snapshot and lock. A concurrent
--              duplicate may have moved it: run again.
-- If a concurrent call commits first, a step fails: on follow_ups_unfinished_key if that call created a follow-up for
-- the same conversation, trigger and subject; on idempotency_keys_pkey if it had the same key. Then nothing was
-- written, and the next run finds the result of that call.
--
-- With reminders, those of the subject become the given ones: missing ones are created unless they are late, those with
-- another time are moved, and the others are cancelled. A revision that is older than a stored one changes none of
-- them. Calls for one subject take turns at the row of its follow-up, which keeps the newest revision: a call whose
-- snapshot does not show the reminders of the turn before is contended. Without reminders, a moved follow-up
-- POST_EVENT cancels them: the caller does not know them, and they have the former time.
--
-- EXISTING holds for the snapshot; the follow-up may end a moment later. Order of locks: first the follow-up (its row,
-- or its entry in the unique index), its reminders, then the key. No statement waits for a follow-up while it holds a
-- key.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, follow_up_id, outcome,
        -- two calls may have the same microsecond
        created_at = $19::timestamptz AND (outcome <> 'CREATED' OR follow_up_id = $3::uuid) AS is_own
    FROM idempotency_keys
    WHERE method = 'ScheduleFollowUp' AND key = $1
),
found AS MATERIALIZED (            -- the unfinished follow-up
    SELECT *
    FROM follow_ups
    WHERE conversation_id = $4 AND trigger = $5 AND subject = $6 AND finished_at IS NULL
      AND NOT EXISTS (SELECT FROM prior)
),
wish AS MATERIALIZED (             -- the request to move it, and the obstacle if there is one
    SELECT CASE WHEN status = 'CLAIMED' AND lease_expires_at > $19::timestamptz THEN 'claimed'
                WHEN follow_up_id <> $3 AND ($11::bytea IS NOT NULL OR $12::bytea IS NOT NULL) THEN 'reseal'
           END AS obstacle
    FROM found
    WHERE $16
),
created AS (                       -- no ON CONFLICT: a call that loses a race must fail here
    INSERT INTO follow_ups (
        follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, channel, user_hash, user_sealed,
        content_sealed, metadata_sealed, max_attempts, next_attempt_at, message_id, traceparent, created_at, updated_at,
        customer_id, purpose, revision)
    SELECT $3::uuid, $4, $5, $6, 'PENDING', $7::timestamptz, $8, $9::text, $10::bytea, $20::bytea, $11,
           $12, $13, $7, $14, $15, $19, $19, $21::uuid, $22::text, $23
    WHERE NOT EXISTS (SELECT FROM prior) AND NOT EXISTS (SELECT FROM found)
    RETURNING follow_ups.*
),
moved AS (                         -- it waits again, so text, claim and failures are reset
    UPDATE follow_ups AS f
    SET status = 'PENDING', due_at = $7, next_attempt_at = $7, time_zone = $8, content_sealed = $11,
        metadata_sealed = $12, ready_at = NULL, attempts = 0, last_failure_reason = NULL, lease_expires_at = NULL,
        claim_token = NULL, claim_key = NULL, claimant = NULL, traceparent = $15, held_until = NULL,
        channel = CASE WHEN $9 = '' THEN f.channel ELSE $9 END,
        user_hash = COALESCE($10, f.user_hash),
        user_sealed = COALESCE($20, f.user_sealed),
        customer_id = COALESCE($21, f.customer_id),
        purpose = $22,
        revision = GREATEST($23, f.revision),
        -- always a later time, so that the clock's decision about the old row is not written
        updated_at = GREATEST(f.updated_at + interval '1 microsecond', $19)
    FROM found, wish
    WHERE f.follow_up_id = found.follow_up_id
      AND wish.obstacle IS NULL
      -- the gate: the locked row shows whether it was claimed or ended after the snapshot
      AND (f.status = 'PENDING' OR f.lease_expires_at <= $19)
      -- another call has set the reminders since the snapshot, which does not show them
      AND ($23::bigint IS NULL OR f.revision IS NOT DISTINCT FROM found.revision)
    RETURNING f.*
),
noted AS (                         -- the same gate when the follow-up stays and its reminders change
    UPDATE follow_ups AS f
    SET revision = GREATEST($23, f.revision)
    FROM found
    WHERE NOT $16 AND $23 IS NOT NULL
      AND f.follow_up_id = found.follow_up_id AND f.finished_at IS NULL
      AND f.revision IS NOT DISTINCT FROM found.revision
    RETURNING f.*
),
done AS (
    SELECT *, 'CREATED' AS outcome FROM created
    UNION ALL
    SELECT *, 'MOVED' FROM moved
    UNION ALL
    SELECT *, 'EXISTING' FROM found WHERE NOT $16 AND $23 IS NULL
    UNION ALL
    SELECT *, 'EXISTING' FROM noted
),
newest AS MATERIALIZED (           -- one row if reminders may change
    SELECT
    FROM done
    WHERE CASE
        WHEN $23::bigint IS NULL THEN outcome = 'MOVED' AND trigger = 'POST_EVENT'
        ELSE NOT EXISTS (
            -- by the index follow_ups_list_by_conversation
            SELECT FROM follow_ups
            WHERE conversation_id = $4 AND trigger IN ('POST_EVENT', 'REMINDER')
              AND (subject = $6 OR starts_with(subject, $6 || ':')) AND revision > $23)
    END
),
reminder AS MATERIALIZED (         -- locked in one order
    SELECT follow_up_id, subject, due_at
    FROM follow_ups
    WHERE conversation_id = $4 AND trigger = 'REMINDER' AND starts_with(subject, $6 || ':') AND finished_at IS NULL
      AND EXISTS (SELECT FROM newest)
    ORDER BY follow_up_id
    FOR NO KEY UPDATE
),
wanted AS MATERIALIZED (
    SELECT it.*, $6 || ':' || it.minutes_before AS subject, r.follow_up_id AS existing_id,
           r.due_at = it.due_at AS is_same
    FROM unnest($24::integer[], $25::timestamptz[], $26::boolean[], $27::uuid[], $28::uuid[])
             AS it (minutes_before, due_at, is_late, new_id, message_id)
    LEFT JOIN reminder AS r ON r.subject = $6 || ':' || it.minutes_before
    WHERE EXISTS (SELECT FROM newest)
),
reminded AS (                      -- fails like `created` if another call schedules the same reminder
    INSERT INTO follow_ups (
        follow_up_id, conversation_id, trigger, subject, status, due_at, time_zone, channel, user_hash, user_sealed,
        max_attempts, next_attempt_at, message_id, traceparent, created_at, updated_at, customer_id, purpose,
        expires_at, revision)
    SELECT new_id, $4, 'REMINDER', subject, 'PENDING', due_at, $8, $9, $10, $20,
           $13, due_at, message_id, $15, $19, $19, $21, $22,
           $29::timestamptz, $23
    FROM wanted
    WHERE existing_id IS NULL AND NOT is_late
    ORDER BY minutes_before DESC
    RETURNING *
),
rescheduled AS (                       -- moved to its new time; it waits again, and a claim is revoked
    UPDATE follow_ups AS f
    SET (due_at, next_attempt_at) = (SELECT w.due_at, w.due_at FROM wanted AS w WHERE w.existing_id = f.follow_up_id),
        status = 'PENDING', time_zone = $8, content_sealed = NULL,
        ready_at = NULL, attempts = 0, last_failure_reason = NULL, lease_expires_at = NULL, claim_token = NULL,
        claim_key = NULL, claimant = NULL, traceparent = $15, held_until = NULL,
        customer_id = COALESCE($21, f.customer_id), purpose = $22, expires_at = $29, revision = $23,
        updated_at = GREATEST(f.updated_at + interval '1 microsecond', $19)
    WHERE f.follow_up_id = ANY (ARRAY(SELECT existing_id FROM wanted WHERE NOT is_same AND NOT is_late))
    RETURNING f.*
),
kept AS (
    UPDATE follow_ups AS f
    SET expires_at = $29, revision = $23
    WHERE f.follow_up_id = ANY (ARRAY(SELECT existing_id FROM wanted WHERE is_same))
),
dropped AS (
    UPDATE follow_ups AS f
    SET status = 'CANCELLED', cancellation_reason = 'REQUESTED', finished_at = $19, next_attempt_at = NULL,
        lease_expires_at = NULL, claim_token = NULL, claim_key = NULL, claimant = NULL,
        revision = GREATEST($23, f.revision), updated_at = GREATEST(f.updated_at, $19)
    WHERE f.follow_up_id = ANY (ARRAY(
              SELECT follow_up_id FROM reminder
              EXCEPT SELECT existing_id FROM wanted WHERE is_same OR NOT is_late))
),
event AS (                         -- only if events are published
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT $18, conversation_id, 'teppan.follow_up.scheduled.v1', $19,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $19, 'due_at', due_at,
               'moved', outcome = 'MOVED'),
           $15, $19
    FROM done
    WHERE $17 AND outcome <> 'EXISTING'
),
reminder_event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.scheduled.v1', $19,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_REMINDER', 'subject', subject, 'occurred_at', $19, 'due_at', due_at,
               'moved', was_moved),
           $15, $19
    FROM (SELECT *, false AS was_moved FROM reminded UNION ALL SELECT *, true FROM rescheduled) AS it
    WHERE $17
),
claim AS (                         -- no ON CONFLICT: losing to a concurrent duplicate must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, follow_up_id, outcome, created_at)
    SELECT 'ScheduleFollowUp', $1, $2, follow_up_id, outcome, $19
    FROM done
    WHERE (SELECT count(*) FROM reminded) >= 0
),
reply AS (
    SELECT done.*, 'done' AS answer, NULL::bytea AS fingerprint FROM done
    UNION ALL
    SELECT f.*, prior.outcome, CASE WHEN prior.is_own THEN 'done' ELSE 'replayed' END, prior.fingerprint
    FROM prior
    LEFT JOIN follow_ups AS f ON f.follow_up_id = prior.follow_up_id
    UNION ALL
    SELECT found.*, NULL, COALESCE(wish.obstacle, 'contended'), NULL
    FROM found
    LEFT JOIN wish ON true
    WHERE NOT EXISTS (SELECT FROM done)
)
SELECT answer AS "answer!", fingerprint AS "fingerprint?", outcome AS "outcome?: _",
       CASE WHEN follow_up_id IS NOT NULL THEN reply END AS "follow_up?: _",
       (SELECT count(*) FROM reminded) AS "reminders!"
FROM reply
