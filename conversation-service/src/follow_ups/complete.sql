-- CompleteFollowUp: stores the message in its conversation and completes the follow-up, in one statement that
-- commits by itself.
--
-- $1 follow-up, $2 token of the claim, $3 message, $4 text as it was sent or null, $5 channel or null, $6 sent at,
-- $7 now, $8 fingerprint, $9 traceparent, $10 whether events are published, $11 first check of a new user, $12 conversation
-- of the claim: $4 is sealed for it.
--
-- One row, with the follow-up and its message if there are any. `outcome` is
--   completed   this run, or an earlier run of the same call whose answer was lost, appended the message;
--   replayed    an earlier call did; without a message, the message is not in this snapshot yet, or was deleted;
--   finished    the follow-up ended otherwise; see `status`. MISSED, FAILED by an expired lease, and CANCELLED for a
--               missing consent do not refuse the last claimant: the message was sent;
--   lost        another call has claimed it, or it was moved to another time;
--   no_channel  neither the call nor the claim names a channel;
--   resealed    the text is sealed for another message than $3: open it, and run again with $4;
--   missing     there is no such follow-up.
-- If $3 is the id of another message, the insert fails on messages_pkey. Then nothing was written.
--
-- Order of locks: the follow-up, its conversation, the user's row. StoreMessage takes the last two in this order. The
-- clock, claims and failures take only the first. Re-engagement only reads conversations. So no deadlock is possible.
WITH target AS MATERIALIZED (      -- row lock; sees the latest committed version
    SELECT * FROM follow_ups WHERE follow_up_id = $1 FOR UPDATE
),
checked AS MATERIALIZED (
    SELECT conversation_id, user_hash, user_sealed, content_sealed, COALESCE($5, NULLIF(channel, '')) AS channel,
           finished_at = $7::timestamptz AS is_own,
           CASE WHEN status = 'COMPLETED' AND message_id = $3 THEN 'replayed'
                WHEN finished_at IS NOT NULL AND NOT (claim_token IS NOT DISTINCT FROM $2 AND unreported) THEN 'finished'
                WHEN claim_token IS DISTINCT FROM $2 OR conversation_id <> $12 OR ready_at IS NULL THEN 'lost'
                WHEN COALESCE($5, NULLIF(channel, '')) IS NULL THEN 'no_channel'
                WHEN $4::bytea IS NULL AND message_id <> $3 THEN 'resealed'
                ELSE 'completed'
           END AS outcome
    FROM (
        SELECT *, status = 'MISSED' OR (status = 'FAILED' AND last_failure_reason = 'LEASE_EXPIRED')
                  OR (status = 'CANCELLED' AND cancellation_reason = 'CONSENT_MISSING') AS unreported
        FROM target
    ) AS t
),
conversation AS (                  -- created, or its row locked: the lock reserves the next sequence
    INSERT INTO conversations AS c (
        conversation_id, user_hash, user_sealed, channel, message_count, newest_scored_sequence, last_message_at,
        created_at, updated_at)
    SELECT conversation_id, user_hash, user_sealed, channel, 1, 0, $6, $7, $7
    FROM checked
    WHERE outcome = 'completed'
    -- The status does not change: a follow-up does not reopen a closed conversation.
    ON CONFLICT (conversation_id) DO UPDATE
    SET message_count = c.message_count + 1,
        user_hash = COALESCE(c.user_hash, EXCLUDED.user_hash),
        user_sealed = COALESCE(c.user_sealed, EXCLUDED.user_sealed),
        last_message_at = GREATEST(c.last_message_at, EXCLUDED.last_message_at),
        updated_at = GREATEST(c.updated_at, EXCLUDED.updated_at)
    RETURNING message_count
),
message AS (
    INSERT INTO messages (
        message_id, conversation_id, sequence, role, channel, content_sealed, sent_at, stored_at, fingerprint,
        traceparent)
    SELECT $3, k.conversation_id, c.message_count, 'ASSISTANT', k.channel, COALESCE($4, k.content_sealed), $6, $7,
           $8, $9
    FROM checked AS k, conversation AS c
    RETURNING *
),
named AS (                         -- as in messages/store.sql
    INSERT INTO reengagement_checks (user_hash, check_at)
    SELECT k.user_hash, $11
    FROM checked AS k, conversation AS c
    WHERE k.user_hash IS NOT NULL
      AND (c.message_count = 1
           OR (SELECT o.user_hash FROM conversations AS o WHERE o.conversation_id = k.conversation_id) IS NULL)
    ON CONFLICT (user_hash) DO NOTHING
),
completed AS (
    UPDATE follow_ups AS f
    SET status = 'COMPLETED',
        message_id = $3,
        content_sealed = m.content_sealed,
        channel = m.channel,
        next_attempt_at = NULL,
        lease_expires_at = NULL,
        cancellation_reason = NULL,
        finished_at = $7,
        updated_at = $7
    FROM message AS m
    WHERE f.follow_up_id = $1
    RETURNING f.*
),
event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), c.conversation_id, 'teppan.follow_up.completed.v1', $7,
           json_build_object(
               'follow_up_id', c.follow_up_id, 'conversation_id', c.conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || c.trigger, 'subject', c.subject, 'occurred_at', $7::timestamptz,
               'message_id', c.message_id, 'sequence', m.sequence::text, 'attempts', c.attempts),
           $9, $7
    FROM completed AS c, message AS m
    WHERE $10::boolean
),
reply AS (
    SELECT * FROM completed
    UNION ALL
    SELECT * FROM target WHERE NOT EXISTS (SELECT FROM completed)
),
stored AS (
    SELECT * FROM message
    UNION ALL
    SELECT * FROM messages WHERE message_id = $3 AND EXISTS (SELECT FROM checked WHERE outcome = 'replayed')
)
SELECT
    COALESCE(
        (SELECT CASE WHEN outcome = 'replayed' AND is_own THEN 'completed' ELSE outcome END FROM checked), 'missing'
    ) AS "outcome!",
    r AS "follow_up?: _",
    s AS "message?: _"
FROM (SELECT) AS always
LEFT JOIN reply AS r ON true
LEFT JOIN stored AS s ON true
