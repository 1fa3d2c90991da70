-- Messages are appended, and never changed but by redaction. Text, parts, metadata and the names of emotions are sealed.
-- Their associated data name the message, its role and its conversation; those of the text also name which of the others
-- there are. The fingerprint is a keyed hash of the call: it distinguishes a retry from another message with the same
-- id. The text of a message that has only parts is sealed too, and empty.
CREATE TABLE messages (
    message_id        uuid             PRIMARY KEY,
    conversation_id   text             COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    sequence          bigint           NOT NULL CONSTRAINT message_sequence CHECK (sequence >= 1),
    role              text             NOT NULL CONSTRAINT message_role CHECK (role IN ('USER', 'ASSISTANT', 'SYSTEM', 'TOOL')),
    channel           text             NOT NULL CONSTRAINT message_channel
                                       CHECK (channel IN ('WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    content_sealed    bytea,
    -- The parts, encoded; NULL for plain text.
    parts_sealed      bytea,
    emotion_score     double precision CONSTRAINT message_emotion_score CHECK (emotion_score BETWEEN 0 AND 1),
    -- The leading emotion and the detected ones; NULL when none was named.
    emotions_sealed   bytea,
    metadata_sealed   bytea,
    sent_at           timestamptz      NOT NULL,
    stored_at         timestamptz      NOT NULL,
    input_tokens      integer          CONSTRAINT message_input_tokens CHECK (input_tokens >= 0),
    output_tokens     integer          CONSTRAINT message_output_tokens CHECK (output_tokens >= 0),
    redacted_at       timestamptz,
    -- The name of the caller's credential; empty where callers need none.
    redacted_by       text,
    fingerprint       bytea,
    traceparent       text,
    -- Of a redacted message nothing is left that says what was in it. One constraint for all of it: PostgreSQL reads
    -- each anew for every message that is stored.
    CONSTRAINT message_whole_or_redacted CHECK (
        CASE WHEN redacted_at IS NULL
             THEN content_sealed IS NOT NULL AND redacted_by IS NULL AND COALESCE(octet_length(fingerprint), 0) = 32
             ELSE content_sealed IS NULL AND parts_sealed IS NULL AND metadata_sealed IS NULL AND fingerprint IS NULL
                  AND COALESCE(length(redacted_by), -1) BETWEEN 0 AND 100
        END),
    CONSTRAINT messages_sequence_key UNIQUE (conversation_id, sequence)
);

-- Sealed bytes do not compress.
ALTER TABLE messages
    ALTER COLUMN content_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN parts_sealed SET STORAGE EXTERNAL,
    ALTER COLUMN metadata_sealed SET STORAGE EXTERNAL;

-- The emotions of a conversation in order, without the messages between them.
CREATE INDEX messages_emotion ON messages (conversation_id, sequence)
    WHERE emotion_score IS NOT NULL OR emotions_sealed IS NOT NULL;

-- The system messages of a conversation, for its context window.
CREATE INDEX messages_system ON messages (conversation_id, sequence) WHERE role = 'SYSTEM';
