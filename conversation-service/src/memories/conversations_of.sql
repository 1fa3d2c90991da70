-- Some conversations of the user with one of the hashes $1: at most $2.
SELECT conversation_id AS "conversation_id!: ConversationId" FROM conversations WHERE user_hash = ANY ($1::bytea[]) LIMIT $2
