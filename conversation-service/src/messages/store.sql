-- StoreMessage: stores the message and its conversation, in one statement that commits by itself.
--
-- $1 message, $2 conversation, $3 hash of the user, $4 channel, $5 sent at, $6 now, $7 role, $8 text, $9 score,
-- $10 whether score or label are to be counted, $11 names of emotions, $12 metadata, $13 input tokens, $14 output
-- tokens, $15 fingerprint, $16 traceparent, $17 first check of a new user, $18 the user, sealed.
--
-- Always one row. `outcome` is
--   stored    this run, or an earlier run of the same call whose answer was lost, appended the message as `sequence`
--             (the sealed content identifies the call, because the nonce is random);
--   replayed  an earlier call with the same fields stored this message_id as `sequence`;
--   redacted  an earlier call stored this message_id in this conversation, and the message was redacted since. Nothing
--             is left to compare the other fields with;
--   reused    this message_id was stored with other fields.
-- If a concurrent duplicate commits first, the insert of the message fails on messages_pkey. Then nothing was written,
-- not even the counter, and the next run replays.
WITH prior AS MATERIALIZED (       -- an earlier message with this id
    SELECT sequence, sent_at, stored_at,
           CASE WHEN conversation_id = $2 AND redacted_at IS NOT NULL THEN 'redacted'
                WHEN fingerprint IS DISTINCT FROM $15 THEN 'reused'
                WHEN content_sealed = $8 THEN 'stored'
                ELSE 'replayed'
           END AS outcome
    FROM messages
    WHERE message_id = $1
),
conversation AS (                  -- created, or its row locked: the lock reserves the next sequence
    INSERT INTO conversations AS c (
        conversation_id, user_hash, user_sealed, channel, message_count, newest_scored_sequence, last_message_at,
        customer_wrote_at, created_at, updated_at)
    SELECT $2::text, $3::bytea, $18::bytea, $4, 1, CASE WHEN $9::double precision IS NULL THEN 0 ELSE 1 END, $5::timestamptz,
           CASE WHEN $7::text = 'USER' THEN $5::timestamptz END, $6, $6
    WHERE NOT EXISTS (SELECT FROM prior)
    ON CONFLICT (conversation_id) DO UPDATE
    SET message_count = c.message_count + 1,
        newest_scored_sequence =
            CASE WHEN $9::double precision IS NULL THEN c.newest_scored_sequence ELSE c.message_count + 1 END,
        user_hash = COALESCE(c.user_hash, EXCLUDED.user_hash),
        user_sealed = COALESCE(c.user_sealed, EXCLUDED.user_sealed),
        -- a new message reopens a closed conversation, but does not end an escalation
        status = CASE WHEN c.status = 'CLOSED' THEN 'OPEN' ELSE c.status END,
        closed_at = NULL,
        last_message_at = GREATEST(c.last_message_at, EXCLUDED.last_message_at),
        customer_wrote_at = GREATEST(c.customer_wrote_at, EXCLUDED.customer_wrote_at),
        updated_at = GREATEST(c.updated_at, EXCLUDED.updated_at)
    RETURNING message_count
),
message AS (                       -- no ON CONFLICT: losing to a concurrent duplicate must undo the step above
    INSERT INTO messages (
        message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score,
        emotions_sealed, metadata_sealed, sent_at, stored_at, input_tokens, output_tokens, fingerprint, traceparent)
    SELECT $1, $2, message_count, $7, $4, $8, $9, $11, $12, $5, $6, $13, $14, $15, $16
    FROM conversation
    RETURNING sequence, sent_at, stored_at
),
pending AS (                       -- a score or a label must be counted (emotions/aggregate_load.sql)
    INSERT INTO emotion_pending (conversation_id, sequence, since)
    SELECT $2, sequence, stored_at
    FROM message
    WHERE $10::boolean
),
named AS (                         -- the conversation gets its user now (follow_ups/reengage.sql);
                                   -- its former user is read only for a message with a user
    INSERT INTO reengagement_checks (user_hash, check_at)
    SELECT $3, $17
    FROM conversation
    WHERE $3 IS NOT NULL
      AND (message_count = 1 OR (SELECT user_hash FROM conversations WHERE conversation_id = $2) IS NULL)
    ON CONFLICT (user_hash) DO NOTHING
)
SELECT 'stored' AS "outcome!", sequence AS "sequence!", sent_at AS "sent_at!", stored_at AS "stored_at!"
FROM message
UNION ALL
SELECT outcome, sequence, sent_at, stored_at
FROM prior
