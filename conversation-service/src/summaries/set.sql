-- SetSummary: $1 conversation, $2 through sequence, $3 text, $4 written by, $5 tokens, $6 now.
--
-- One row when the conversation exists. The summary is written when it covers no fewer messages than the present one,
-- and no more than there are: `is_written`. Otherwise `present` is the watermark of the present one in this snapshot.
-- A concurrent call with a later watermark is seen under the row's lock, and may be too new for the snapshot.
WITH written AS (
    INSERT INTO conversation_summaries AS s (
        conversation_id, through_sequence, text_sealed, written_by, token_count, updated_at)
    SELECT conversation_id, $2::bigint, $3, $4, $5, $6
    FROM conversations
    WHERE conversation_id = $1 AND message_count >= $2
    FOR KEY SHARE                  -- from here on the conversation can be neither deleted nor begun anew
    ON CONFLICT (conversation_id) DO UPDATE
    SET through_sequence = EXCLUDED.through_sequence,
        text_sealed = EXCLUDED.text_sealed,
        written_by = EXCLUDED.written_by,
        token_count = EXCLUDED.token_count,
        updated_at = EXCLUDED.updated_at
    WHERE s.through_sequence <= EXCLUDED.through_sequence
    RETURNING s.conversation_id
)
SELECT c.message_count AS "message_count!", EXISTS (SELECT FROM written) AS "is_written!",
       (SELECT through_sequence FROM conversation_summaries WHERE conversation_id = $1) AS "present?"
FROM conversations AS c
WHERE c.conversation_id = $1
