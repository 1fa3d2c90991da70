-- Of the conversations $1, in any order: the watermark of the summary, and the mean of the newest scores.
SELECT
    c.conversation_id AS "conversation_id!",
    (SELECT through_sequence FROM conversation_summaries WHERE conversation_id = c.conversation_id) AS "through_sequence?",
    (SELECT recent_mean FROM emotion_statistics WHERE conversation_id = c.conversation_id) AS "recent_mean?"
FROM unnest($1::text[]) AS c (conversation_id)
