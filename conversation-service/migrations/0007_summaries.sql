-- The summary of a conversation. Text is sealed with the conversation and the watermark as associated data.
CREATE TABLE conversation_summaries (
    conversation_id   text        COLLATE "C" PRIMARY KEY
                                  CONSTRAINT conversation_summaries_conversation_fkey REFERENCES conversations ON DELETE CASCADE,
    -- The watermark: the summary covers the messages up to this one.
    through_sequence  bigint      NOT NULL CONSTRAINT summary_through CHECK (through_sequence >= 1),
    text_sealed       bytea       NOT NULL,
    written_by        text        NOT NULL CONSTRAINT summary_written_by_form CHECK (octet_length(written_by) BETWEEN 1 AND 100 AND written_by !~ '[^ -~]'),
    token_count       integer     CONSTRAINT summary_token_count CHECK (token_count >= 0),
    updated_at        timestamptz NOT NULL
);
ALTER TABLE conversation_summaries ALTER COLUMN text_sealed SET STORAGE EXTERNAL;
