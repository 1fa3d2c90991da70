-- Users of whom something is remembered: a keyed hash to find one, and the id itself, sealed.
CREATE TABLE memory_users (
    memory_user_id  uuid        PRIMARY KEY,
    user_hash       bytea       NOT NULL CONSTRAINT memory_users_hash UNIQUE
                                CONSTRAINT memory_user_hash_length CHECK (octet_length(user_hash) = 32),
    user_sealed     bytea       NOT NULL,
    created_at      timestamptz NOT NULL
);

-- Facts about users across conversations. The hash is of the user's row and the key, so that the same key of two users has
-- two hashes. A memory goes with the conversation that it is from, and with the message when that is redacted.
CREATE TABLE user_memories (
    memory_id               uuid             PRIMARY KEY,
    -- Not ON DELETE CASCADE: whoever removes a user without memories must not remove one that is set at the same moment.
    memory_user_id          uuid             NOT NULL CONSTRAINT user_memories_user_fkey REFERENCES memory_users,
    key_hash                bytea            NOT NULL CONSTRAINT user_memory_key_hash CHECK (octet_length(key_hash) = 32),
    key_sealed              bytea            NOT NULL,
    value_sealed            bytea            NOT NULL,
    source_conversation_id  text             COLLATE "C" CONSTRAINT user_memories_source_fkey
                                             REFERENCES conversations ON DELETE CASCADE,
    source_message_id       uuid,
    confidence              double precision CONSTRAINT user_memory_confidence CHECK (confidence BETWEEN 0 AND 1),
    expires_at              timestamptz,
    created_at              timestamptz      NOT NULL,
    updated_at              timestamptz      NOT NULL,
    CONSTRAINT user_memory_source CHECK ((source_conversation_id IS NULL) = (source_message_id IS NULL)),
    CONSTRAINT user_memories_key UNIQUE (memory_user_id, key_hash)
);
ALTER TABLE user_memories ALTER COLUMN key_sealed SET STORAGE EXTERNAL, ALTER COLUMN value_sealed SET STORAGE EXTERNAL;

-- For lists, for the removal of expired ones, and of those whose source is redacted or deleted.
CREATE INDEX user_memories_list ON user_memories (memory_user_id, memory_id);
CREATE INDEX user_memories_expired ON user_memories (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX user_memories_source ON user_memories (source_conversation_id, source_message_id)
    WHERE source_conversation_id IS NOT NULL;

-- For the removal of a user's follow-ups.
CREATE INDEX follow_ups_by_user ON follow_ups (user_hash) WHERE user_hash IS NOT NULL;
