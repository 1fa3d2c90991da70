-- Takes away every message beyond the first 20 of its conversation, with what was counted of them, and tells how many
-- messages these were.
WITH grown AS MATERIALIZED (
    SELECT conversation_id FROM conversations WHERE message_count > 20
),
taken AS (
    DELETE FROM messages m USING grown g WHERE m.conversation_id = g.conversation_id AND m.sequence > 20
    RETURNING m.message_id
),
pending AS (
    DELETE FROM emotion_pending p USING grown g WHERE p.conversation_id = g.conversation_id
),
counted AS (
    DELETE FROM emotion_statistics s USING grown g WHERE s.conversation_id = g.conversation_id
),
suggested AS (
    DELETE FROM escalation_suggestions s USING grown g WHERE s.conversation_id = g.conversation_id
),
reset AS (
    UPDATE conversations c
    SET message_count = 20, newest_scored_sequence = 19
    FROM grown g
    WHERE c.conversation_id = g.conversation_id
)
SELECT count(*) FROM taken
