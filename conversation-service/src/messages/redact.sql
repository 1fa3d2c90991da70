-- RedactMessage: removes what a message says, in one statement that commits by itself.
--
-- $1 conversation, $2 message, $3 now, $4 who redacts it, $5 whether events are published, $6 traceparent.
--
-- One row with the message, redacted by this call or by an earlier one. No row when the conversation has no such
-- message.
--
-- Order of locks: the follow-up, the message, the summary, memories, as in conversations/delete.sql.
WITH completed AS MATERIALIZED (   -- the follow-up that the message was: completing copied the text
    SELECT follow_up_id
    FROM follow_ups
    -- by the index follow_ups_list_by_conversation
    WHERE conversation_id = $1 AND status = 'COMPLETED' AND message_id = $2
      AND trigger IN ('POST_EVENT', 'REENGAGEMENT', 'EMOTION_BASED', 'CUSTOM', 'REMINDER')
    FOR UPDATE
),
target AS MATERIALIZED (           -- row lock; sees the latest committed version: the first of two calls redacts it
    SELECT *
    FROM messages
    WHERE message_id = $2 AND conversation_id = $1 AND (SELECT count(*) FROM completed) >= 0
    FOR UPDATE
),
redacted AS (
    UPDATE messages AS m
    SET content_sealed = NULL, parts_sealed = NULL, metadata_sealed = NULL, fingerprint = NULL,
        redacted_at = $3, redacted_by = $4
    FROM target AS t
    WHERE m.message_id = t.message_id AND t.redacted_at IS NULL
    RETURNING m.*
),
follow_up AS (
    UPDATE follow_ups
    SET content_sealed = NULL, metadata_sealed = NULL
    WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM completed)) AND EXISTS (SELECT FROM redacted)
),
summary AS (                       -- what it says may be from the message
    DELETE FROM conversation_summaries AS s
    USING redacted AS r
    WHERE s.conversation_id = r.conversation_id AND s.through_sequence >= r.sequence
),
memory AS (                        -- what is known from it
    DELETE FROM user_memories AS m
    USING redacted AS r
    WHERE m.source_conversation_id = r.conversation_id AND m.source_message_id = r.message_id
),
words AS (
    DELETE FROM message_search AS w
    USING redacted AS r
    WHERE w.conversation_id = r.conversation_id AND w.sequence = r.sequence
),
event AS (                         -- only where it is published
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, traceparent, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.conversation.message_redacted.v1', $3,
           json_build_object(
               'conversation_id', conversation_id, 'occurred_at', $3::timestamptz, 'message_id', message_id,
               'sequence', sequence, 'redacted_by', redacted_by),
           $6, $3
    FROM redacted
    WHERE $5::boolean
)
SELECT m AS "message!: _"
FROM (
    SELECT * FROM redacted
    UNION ALL
    SELECT * FROM target WHERE redacted_at IS NOT NULL
) AS m
