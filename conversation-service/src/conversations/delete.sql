-- DeleteConversation, and the retention of conversations: deletes a conversation and all that belongs to it, in one
-- statement that commits by itself.
--
-- $1 conversation, $2 now, $3 who deletes it, $4 whether events are published, $5 traceparent, $6 null, or only if it
-- has not changed since then, is not escalated, and has no unfinished follow-up.
--
-- Always one row, with the numbers of messages and of follow-ups that this run deleted.
--
-- Whatever refers to the row of the conversation is deleted by its foreign key, also what was stored between this
-- snapshot and the lock of that row. A follow-up that is scheduled in between counts as scheduled afterwards.
--
-- Order of locks: the follow-ups, the conversation, what refers to it. Statements that lock several of these lock them
-- in this order, so no deadlock is possible. The user's row, which re-engagement locks before follow-ups, is not
-- waited for: its next check removes it when the user has no conversation.
--
-- With $6, a message that is stored between this snapshot and the lock keeps the conversation, though not the finished
-- follow-ups.
WITH chosen AS MATERIALIZED (
    SELECT 1
    WHERE $6::timestamptz IS NULL
       OR EXISTS (
              SELECT FROM conversations
              WHERE conversation_id = $1 AND last_message_at < $6 AND updated_at < $6 AND status <> 'ESCALATED')
          -- by the index follow_ups_unfinished_key
          AND NOT EXISTS (SELECT FROM follow_ups WHERE conversation_id = $1 AND finished_at IS NULL)
),
follow_up AS (
    DELETE FROM follow_ups
    WHERE follow_up_id = ANY (ARRAY(
        SELECT follow_up_id
        FROM follow_ups
        -- by the index follow_ups_list_by_conversation
        WHERE conversation_id = $1 AND trigger IN ('POST_EVENT', 'REENGAGEMENT', 'EMOTION_BASED', 'CUSTOM', 'REMINDER')
          AND EXISTS (SELECT FROM chosen)
        ORDER BY follow_up_id
        FOR UPDATE))
    RETURNING follow_up_id
),
key AS (
    DELETE FROM idempotency_keys WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM follow_up))
),
conversation AS (
    DELETE FROM conversations
    -- first all follow-ups
    WHERE conversation_id = $1 AND (SELECT count(*) FROM follow_up) >= 0
      AND EXISTS (SELECT FROM chosen)
      AND ($6 IS NULL OR last_message_at < $6 AND updated_at < $6 AND status <> 'ESCALATED')
    RETURNING user_hash, message_count
),
forgotten AS (                     -- the user's last conversation
    DELETE FROM reengagement_checks
    WHERE user_hash = ANY (ARRAY(
        SELECT r.user_hash
        FROM conversation AS c
        CROSS JOIN LATERAL (
            SELECT user_hash FROM reengagement_checks WHERE user_hash = c.user_hash LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS r
        WHERE NOT EXISTS (SELECT FROM conversations WHERE user_hash = c.user_hash AND conversation_id <> $1)))
),
event AS (                         -- only where it is published
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), $1, 'teppan.conversation.deleted.v1', $2,
           json_build_object('conversation_id', $1::text, 'occurred_at', $2::timestamptz, 'deleted_by', $3::text),
           $5, $2
    WHERE $4::boolean
      AND (EXISTS (SELECT FROM conversation) OR $6 IS NULL AND EXISTS (SELECT FROM follow_up))
)
SELECT
    -- sequences have no gap
    COALESCE((SELECT message_count FROM conversation), 0) AS "messages!",
    (SELECT count(*) FROM follow_up) AS "follow_ups!"
