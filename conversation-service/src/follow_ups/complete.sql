-- CompleteFollowUp: the message is stored in its conversation and the follow-up completed, in one
-- statement that commits by itself.
--
-- $1 follow-up, $2 token of the claim, $3 message, $4 text as it was sent or null, $5 channel or null,
-- $6 sent at, $7 now, $8 fingerprint, $9 traceparent, $10 whether events are published, $11 when to look
-- after a user who is named for the first time.
--
-- One row, with the follow-up if there is one. `outcome` is
--   completed   the message was appended as `sequence`, by this run or by an earlier one of the same call, whose
--               answer was lost: it ended when this call was made;
--   replayed    it had been; without a `sequence` it is too new for this run's snapshot, or deleted;
--   finished    the follow-up ended otherwise; see `status`. That nobody reported in time, MISSED or FAILED
--               by its last lease, is no end for whoever claimed it last: what was sent was sent;
--   lost        somebody else has claimed it, or it was moved to another time;
--   no_channel  neither the call nor the claim names a channel;
--   resealed    the text of the claim is sealed for another message than $3: open it, and run again with $4;
--   missing     there is no such follow-up.
-- That $3 is another message's id makes the insert fail on messages_pkey: then nothing was written.
--
-- Locks: the follow-up, then its conversation, then the user's row. StoreMessage takes the last two in
-- this order and never the first; the clock, claims and failures take only the first; who looks after
-- silent users only reads conversations. So no two can wait for each other in a circle.
WITH target AS MATERIALIZED (      -- locked, and as whoever had it before has left it
    SELECT * FROM follow_ups WHERE follow_up_id = $1 FOR UPDATE
),
checked AS MATERIALIZED (
    SELECT conversation_id, user_id, content_sealed, COALESCE($5, NULLIF(channel, '')) AS channel,
           finished_at = $7::timestamptz AS is_own,
           CASE WHEN status = 'COMPLETED' AND message_id = $3 THEN 'replayed'
                WHEN finished_at IS NOT NULL AND NOT (claim_token IS NOT DISTINCT FROM $2 AND unreported) THEN 'finished'
                WHEN claim_token IS DISTINCT FROM $2 OR ready_at IS NULL THEN 'lost'
                WHEN COALESCE($5, NULLIF(channel, '')) IS NULL THEN 'no_channel'
                WHEN $4::bytea IS NULL AND message_id <> $3 THEN 'resealed'
                ELSE 'completed'
           END AS outcome
    FROM (
        SELECT *, status = 'MISSED' OR (status = 'FAILED' AND last_failure_reason = 'LEASE_EXPIRED') AS unreported
        FROM target
    ) AS t
),
conversation AS (                  -- made, or its row locked: whoever holds it has the next sequence to itself
    INSERT INTO conversations AS c (
        conversation_id, user_id, channel, message_count, newest_scored_sequence, last_message_at, created_at,
        updated_at)
    SELECT conversation_id, user_id, channel, 1, 0, $6, $7, $7
    FROM checked
    WHERE outcome = 'completed'
    -- The status stays: what the assistant says of itself neither takes an escalated conversation back nor
    -- opens a closed one again. The customer's answer does.
    ON CONFLICT (conversation_id) DO UPDATE
    SET message_count = c.message_count + 1,
        user_id = COALESCE(c.user_id, EXCLUDED.user_id),
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
    RETURNING sequence, channel, content_sealed, sent_at, stored_at
),
named AS (                         -- as in store_message.sql
    INSERT INTO reengagement_checks (user_id, check_at)
    SELECT k.user_id, $11
    FROM checked AS k, conversation AS c
    WHERE k.user_id IS NOT NULL
      AND (c.message_count = 1
           OR (SELECT o.user_id FROM conversations AS o WHERE o.conversation_id = k.conversation_id) IS NULL)
    ON CONFLICT (user_id) DO NOTHING
),
completed AS (
    UPDATE follow_ups AS f
    SET status = 'COMPLETED',
        message_id = $3,
        content_sealed = m.content_sealed,
        channel = m.channel,
        next_attempt_at = NULL,
        lease_expires_at = NULL,
        finished_at = $7,
        updated_at = $7
    FROM message AS m
    WHERE f.follow_up_id = $1
    RETURNING f.*
),
event AS (
    INSERT INTO outbox_messages (event_id, conversation_id, type, occurred_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), c.conversation_id, 'teppan.follow_up.completed.v1', $7,
           json_build_object(
               'follow_up_id', c.follow_up_id, 'conversation_id', c.conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || c.trigger, 'subject', c.subject, 'occurred_at', $7::timestamptz,
               'message_id', c.message_id, 'sequence', m.sequence, 'attempts', c.attempts),
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
    SELECT sequence, sent_at, stored_at FROM message
    UNION ALL
    SELECT sequence, sent_at, stored_at
    FROM messages
    WHERE message_id = $3 AND EXISTS (SELECT FROM checked WHERE outcome = 'replayed')
)
SELECT
    COALESCE(
        (SELECT CASE WHEN outcome = 'replayed' AND is_own THEN 'completed' ELSE outcome END FROM checked), 'missing'
    ) AS "outcome!",
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
    s.sequence AS "sequence?",
    s.sent_at AS "sent_at?",
    s.stored_at AS "stored_at?"
FROM (SELECT) AS always
LEFT JOIN reply AS r ON true
LEFT JOIN stored AS s ON true
