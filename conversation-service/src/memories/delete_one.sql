-- DeleteMemory: the memory of the user's row $1 with one of the hashes $2 of its key.
WITH deleted AS (
    DELETE FROM user_memories WHERE memory_user_id = $1 AND key_hash = ANY ($2::bytea[]) RETURNING 1
)
SELECT EXISTS (SELECT FROM deleted) AS "deleted!"
