-- Messages by their ids, $1, in any order.
SELECT ROW(m.*) AS "message!: _"
FROM messages AS m
WHERE message_id = ANY ($1)
