-- StoreMessage for the calls that came while another statement ran, of any conversations. What store.sql says holds here
-- too. The ids of the messages differ; several may be of one conversation, and are stored in their order.
--
-- $1 to $18: an array for each value, an element for each message.
--
-- A row for each message that was stored, by its place `n`. Nothing was written for the others: their ids were used, and
-- store.sql must decide. If a message loses against a concurrent duplicate, a constraint refuses the whole statement, and
-- every message is stored alone.
--
-- Locks: conversations by id, then messages by id, then users by hash. A statement that waits too long for a lock fails,
-- so that one locked conversation does not hold up the messages of others.
WITH given AS MATERIALIZED (
    SELECT g.*
    FROM (SELECT set_config('lock_timeout', '1s', true) AS it OFFSET 0) AS bound
    CROSS JOIN unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[], $8::double precision[],
        $9::boolean[], $10::timestamptz[], $11::timestamptz[], $12::integer[], $13::integer[], $14::bytea[], $15::text[],
        $16::bytea[], $17::bytea[], $18::timestamptz[])
    WITH ORDINALITY AS g (
        message_id, conversation_id, role, channel, content, metadata, emotions, score, is_counted, sent_at, stored_at,
        input_tokens, output_tokens, fingerprint, traceparent, user_hash, user_sealed, check_at, n)
    WHERE bound.it <> ''
),
fresh AS MATERIALIZED (            -- messages to append, by their number among those of their conversation
    SELECT *, row_number() OVER of_conversation AS number,
           count(*) OVER (PARTITION BY conversation_id) AS messages
    FROM given
    WHERE (SELECT true FROM messages m WHERE m.message_id = given.message_id) IS NULL
    WINDOW of_conversation AS (PARTITION BY conversation_id ORDER BY n)
),
added AS MATERIALIZED (            -- what they add to each conversation
    SELECT conversation_id, count(*) AS messages, COALESCE(max(number) FILTER (WHERE score IS NOT NULL), 0) AS newest_scored,
           (array_agg(channel ORDER BY n))[1] AS channel,
           (array_agg(user_hash ORDER BY n) FILTER (WHERE user_hash IS NOT NULL))[1] AS user_hash,
           (array_agg(user_sealed ORDER BY n) FILTER (WHERE user_hash IS NOT NULL))[1] AS user_sealed,
           max(sent_at) AS last_at, max(sent_at) FILTER (WHERE role = 'USER') AS customer_wrote_at,
           min(stored_at) AS created_at, max(stored_at) AS updated_at, min(check_at) AS check_at
    FROM fresh
    GROUP BY conversation_id
),
conversation AS (                  -- created, or its row locked: the lock reserves the next sequences
    INSERT INTO conversations AS c (
        conversation_id, user_hash, user_sealed, channel, message_count, newest_scored_sequence, last_message_at,
        customer_wrote_at, created_at, updated_at)
    SELECT conversation_id, user_hash, user_sealed, channel, messages, newest_scored, last_at, customer_wrote_at,
           created_at, updated_at
    FROM added
    ORDER BY conversation_id
    ON CONFLICT (conversation_id) DO UPDATE
    SET message_count = c.message_count + EXCLUDED.message_count,
        newest_scored_sequence = CASE WHEN EXCLUDED.newest_scored_sequence = 0 THEN c.newest_scored_sequence
                                      ELSE c.message_count + EXCLUDED.newest_scored_sequence END,
        user_hash = COALESCE(c.user_hash, EXCLUDED.user_hash),
        user_sealed = COALESCE(c.user_sealed, EXCLUDED.user_sealed),
        -- as in store.sql
        status = CASE WHEN c.status = 'CLOSED' THEN 'OPEN' ELSE c.status END,
        closed_at = NULL,
        last_message_at = GREATEST(c.last_message_at, EXCLUDED.last_message_at),
        customer_wrote_at = GREATEST(c.customer_wrote_at, EXCLUDED.customer_wrote_at),
        updated_at = GREATEST(c.updated_at, EXCLUDED.updated_at)
    RETURNING conversation_id, message_count
),
placed AS MATERIALIZED (
    SELECT f.*, c.message_count - f.messages + f.number AS sequence
    FROM conversation c
    JOIN fresh f ON f.conversation_id = c.conversation_id
),
message AS (                       -- no ON CONFLICT: losing to a concurrent duplicate must undo the step above
    INSERT INTO messages (
        message_id, conversation_id, sequence, role, channel, content_sealed, emotion_score, emotions_sealed,
        metadata_sealed, sent_at, stored_at, input_tokens, output_tokens, fingerprint, traceparent)
    SELECT message_id, conversation_id, sequence, role, channel, content, score, emotions, metadata, sent_at, stored_at,
           input_tokens, output_tokens, fingerprint, traceparent
    FROM placed
    ORDER BY message_id
),
pending AS (                       -- as in store.sql
    INSERT INTO emotion_pending (conversation_id, sequence, since)
    SELECT conversation_id, sequence, stored_at
    FROM placed
    WHERE is_counted
),
named AS (                         -- as in store.sql
    INSERT INTO reengagement_checks (user_hash, check_at)
    SELECT a.user_hash, a.check_at
    FROM conversation c
    JOIN added a ON a.conversation_id = c.conversation_id
    WHERE a.user_hash IS NOT NULL
      AND (c.message_count = a.messages
           OR (SELECT k.user_hash FROM conversations k WHERE k.conversation_id = a.conversation_id) IS NULL)
    ORDER BY a.user_hash
    ON CONFLICT (user_hash) DO NOTHING
)
SELECT n, sequence FROM placed
