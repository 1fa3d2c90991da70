-- SetMemory: sets a memory in place of the one with its key, in one statement that commits by itself.
--
-- $1 row of the user, $2 hashes of the key, one for each key of the ring, $3 id of a new memory, $4 key and $5 value sealed
-- for it, $6 source message, $7 confidence, $8 expires at, $9 now, $10 most memories of a user.
--
-- Always one row. `memory` is what was set. If it is null, nothing
-- was written: `is_known` tells whether the source is there and not redacted; otherwise the user has too many memories.
--
-- A replaced memory gets the new id, because the seals are bound to it. If a concurrent call sets the same key first, this
-- fails on user_memories_key; if the user or the source's conversation is deleted meanwhile, on a foreign key. Then
-- nothing was written, and the next run sees what it did.
WITH source AS MATERIALIZED (
    SELECT conversation_id FROM messages WHERE message_id = $6 AND redacted_at IS NULL
),
gate AS MATERIALIZED (
    SELECT $6::uuid IS NULL OR EXISTS (SELECT FROM source) AS is_open
),
present AS MATERIALIZED (
    SELECT memory_id
    FROM user_memories
    WHERE memory_user_id = $1 AND key_hash = ANY ($2::bytea[])
    FOR UPDATE
),
updated AS (
    UPDATE user_memories
    SET memory_id = $3, key_hash = ($2)[1], key_sealed = $4, value_sealed = $5,
        source_conversation_id = (SELECT conversation_id FROM source), source_message_id = $6, confidence = $7,
        expires_at = $8, updated_at = $9
    -- by the key: a concurrent call may have changed the id since the snapshot
    WHERE memory_user_id = $1 AND key_hash = ANY ($2) AND EXISTS (SELECT FROM present) AND (SELECT is_open FROM gate)
    RETURNING user_memories.*
),
created AS (                       -- no ON CONFLICT: a call that loses a race must fail here
    INSERT INTO user_memories (
        memory_id, memory_user_id, key_hash, key_sealed, value_sealed, source_conversation_id, source_message_id,
        confidence, expires_at, created_at, updated_at)
    SELECT $3, $1, ($2)[1], $4, $5, (SELECT conversation_id FROM source), $6, $7, $8, $9, $9
    FROM gate
    WHERE is_open AND NOT EXISTS (SELECT FROM present)
      AND (SELECT count(*) FROM (SELECT FROM user_memories WHERE memory_user_id = $1 LIMIT $10) AS owned) < $10
    RETURNING user_memories.*
)
SELECT g.is_open AS "is_known!", m AS "memory?: MemoryRow"
FROM gate AS g
LEFT JOIN (SELECT * FROM updated UNION ALL SELECT * FROM created) AS m ON true
