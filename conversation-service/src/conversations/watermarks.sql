-- The watermarks of the summaries of conversations $1, in any order. A conversation without a summary has no row.
SELECT conversation_id AS "conversation_id!", through_sequence AS "through_sequence!"
FROM conversation_summaries
WHERE conversation_id = ANY ($1)
