-- StoreMessages: stores messages of one conversation, all or none, in one statement that commits by itself.
--
-- $1 conversation, $2 hash of the user, $3 now, $4 first check of a new user, $5 traceparent, $6 an object for each
-- message in the order of storing, and of each $7 text, $8 parts, $9 metadata, $10 fingerprint; $11 an object for each
-- call and result, $12 the user, sealed, $13 of each message the names of emotions.
--
-- A row for each message, by its `position`; `outcome` is one of those of store.sql. A tool call or result that cannot
-- be paired has a further row: exists (the conversation has a call with this id already), unknown (the result answers
-- no call), or answered (the call has a result already). With a row of these three or a reused one nothing was written.
--
-- If a concurrent call commits first, a step fails on messages_pkey, tool_calls_pkey, tool_results_pkey, or, when it
-- deleted the conversation, on tool_results_call_fkey. Then nothing was written, and the next run sees what it did.
--
-- Locks: the conversation, then message ids in their order, then the user: calls that share ids do not deadlock.
WITH given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        jsonb_to_recordset($6::jsonb) AS (
            message_id uuid, role text, channel text, sent_at timestamptz, score double precision, is_counted boolean,
            input_tokens integer, output_tokens integer, words bigint[]),
        unnest($7::bytea[]), unnest($8::bytea[]), unnest($9::bytea[]), unnest($10::bytea[]), unnest($13::bytea[])
    ) WITH ORDINALITY AS g (
        message_id, role, channel, sent_at, score, is_counted, input_tokens, output_tokens, words, content, parts,
        metadata, fingerprint, emotions, position)
),
prior AS MATERIALIZED (            -- earlier messages with these ids
    SELECT g.position, m.*
    FROM given AS g CROSS JOIN LATERAL (   -- LIMIT: one lookup each, not a join with the whole table
        SELECT sequence, sent_at, stored_at,
               CASE WHEN conversation_id = $1 AND redacted_at IS NOT NULL THEN 'redacted'
                    WHEN fingerprint IS DISTINCT FROM g.fingerprint THEN 'reused'
                    WHEN content_sealed = g.content THEN 'stored'
                    ELSE 'replayed'
               END AS outcome
        FROM messages WHERE message_id = g.message_id LIMIT 1
    ) AS m
),
fresh AS MATERIALIZED (            -- messages to append, by their number among these
    SELECT g.*, row_number() OVER (ORDER BY position) AS number
    FROM given AS g
    WHERE position <> ALL (ARRAY(SELECT position FROM prior))
      AND NOT EXISTS (SELECT FROM prior WHERE outcome = 'reused')
),
tool AS MATERIALIZED (             -- their tool calls and results, and what is stored of each call
    SELECT t.call_id, t.is_result, f.position, f.number,
           -- no EXISTS: it could be planned as one scan of all calls of the conversation
           (SELECT true FROM tool_calls WHERE conversation_id = $1 AND call_id = t.call_id) IS TRUE AS is_called,
           (SELECT true FROM tool_results WHERE conversation_id = $1 AND call_id = t.call_id) IS TRUE AS is_answered
    FROM jsonb_to_recordset($11::jsonb) AS t (position bigint, call_id text, is_result boolean)
    JOIN fresh AS f ON f.position = t.position
),
unpaired AS MATERIALIZED (
    SELECT position, call_id,
           CASE WHEN NOT is_result THEN 'exists' WHEN is_answered THEN 'answered' ELSE 'unknown' END AS outcome
    FROM tool
    WHERE CASE WHEN NOT is_result THEN is_called
               -- the decoder has checked that calls of the request come before their results
               ELSE is_answered
                    OR NOT (is_called OR call_id = ANY (ARRAY(SELECT call_id FROM tool WHERE NOT is_result)))
          END
),
added AS MATERIALIZED (            -- what the messages add to the conversation; no row when nothing is written
    SELECT count(*) AS messages, COALESCE(max(number) FILTER (WHERE score IS NOT NULL), 0) AS newest_scored,
           (array_agg(channel ORDER BY number))[1] AS channel, max(sent_at) AS last_at,
           max(sent_at) FILTER (WHERE role = 'USER') AS customer_wrote_at
    FROM fresh WHERE NOT EXISTS (SELECT FROM unpaired) HAVING count(*) > 0
),
conversation AS (                  -- created, or its row locked: the lock reserves the next sequences
    INSERT INTO conversations AS c (
        conversation_id, user_hash, user_sealed, channel, message_count, newest_scored_sequence, last_message_at,
        customer_wrote_at, created_at, updated_at)
    SELECT $1, $2::bytea, $12::bytea, channel, messages, newest_scored, last_at, customer_wrote_at, $3, $3 FROM added
    ON CONFLICT (conversation_id) DO UPDATE
    SET message_count = c.message_count + EXCLUDED.message_count,
        newest_scored_sequence = CASE WHEN EXCLUDED.newest_scored_sequence = 0 THEN c.newest_scored_sequence
                                      ELSE c.message_count + EXCLUDED.newest_scored_sequence END,
        user_hash = COALESCE(c.user_hash, EXCLUDED.user_hash),
        user_sealed = COALESCE(c.user_sealed, EXCLUDED.user_sealed),
        -- new messages reopen it, but do not take it back from a person
        status = CASE WHEN c.status = 'CLOSED' THEN 'OPEN' ELSE c.status END,
        closed_at = NULL,
        last_message_at = GREATEST(c.last_message_at, EXCLUDED.last_message_at),
        customer_wrote_at = GREATEST(c.customer_wrote_at, EXCLUDED.customer_wrote_at),
        updated_at = GREATEST(c.updated_at, EXCLUDED.updated_at)
    RETURNING message_count - (SELECT messages FROM added) AS before
),
message AS (                       -- no ON CONFLICT: losing to a concurrent duplicate must undo the step above
    INSERT INTO messages (
        message_id, conversation_id, sequence, role, channel, content_sealed, parts_sealed, emotion_score,
        emotions_sealed, metadata_sealed, sent_at, stored_at, input_tokens, output_tokens, fingerprint, traceparent)
    SELECT f.message_id, $1, c.before + f.number, f.role, f.channel, f.content, f.parts, f.score, f.emotions,
           f.metadata, f.sent_at, $3, f.input_tokens, f.output_tokens, f.fingerprint, $5
    FROM conversation AS c, fresh AS f
    ORDER BY f.message_id
    RETURNING message_id, sequence, sent_at, stored_at
),
pending AS (                       -- as in store.sql
    INSERT INTO emotion_pending (conversation_id, sequence, since)
    SELECT $1, c.before + f.number, $3 FROM conversation AS c, fresh AS f WHERE f.is_counted),
searchable AS (                    -- for SearchMessages, where it is on
    INSERT INTO message_search (conversation_id, sequence, tokens) SELECT $1, c.before + f.number, f.words
    FROM conversation AS c, fresh AS f WHERE f.words IS NOT NULL),
calls AS (
    INSERT INTO tool_calls (conversation_id, call_id, sequence)
    SELECT $1, t.call_id, c.before + t.number FROM conversation AS c, tool AS t WHERE NOT t.is_result),
results AS (
    INSERT INTO tool_results (conversation_id, call_id, sequence)
    SELECT $1, t.call_id, c.before + t.number FROM conversation AS c, tool AS t WHERE t.is_result),
named AS (                         -- as in store.sql
    INSERT INTO reengagement_checks (user_hash, check_at)
    SELECT $2, $4 FROM conversation
    WHERE $2 IS NOT NULL
      AND (before = 0 OR (SELECT user_hash FROM conversations WHERE conversation_id = $1) IS NULL)
    ON CONFLICT (user_hash) DO NOTHING
)
SELECT g.position AS "position!", 'stored' AS "outcome!", NULL AS "call_id?", m.sequence AS "sequence?",
       m.sent_at AS "sent_at?", m.stored_at AS "stored_at?"
FROM message AS m JOIN given AS g ON g.message_id = m.message_id
UNION ALL
SELECT position, outcome, NULL, sequence, sent_at, stored_at FROM prior
UNION ALL
SELECT position, outcome, call_id, NULL, NULL, NULL FROM unpaired ORDER BY 1
