-- The row of the user with one of the hashes $1, if there is one.
SELECT memory_user_id, user_sealed FROM memory_users WHERE user_hash = ANY ($1::bytea[])
