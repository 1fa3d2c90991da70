-- A conversation, and the row of its handoff if it was ever handed over.
SELECT ROW(c.*) AS "conversation!: ConversationRow", h AS "handoff?: HandoffRow"
FROM conversations AS c
LEFT JOIN LATERAL (
    SELECT * FROM conversation_handoffs WHERE conversation_id = c.conversation_id
) AS h ON true
WHERE c.conversation_id = $1
