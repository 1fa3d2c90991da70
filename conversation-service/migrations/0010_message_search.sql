-- The words of messages, for SearchMessages: keyed hashes of 8 bytes, of the conversation and the word. Rows are written
-- only with MESSAGE_SEARCH=on, by the statement that stores the messages, and go with the message's text.
CREATE TABLE message_search (
    conversation_id  text    COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    sequence         bigint  NOT NULL CONSTRAINT message_search_sequence CHECK (sequence >= 1),
    tokens           bigint[] NOT NULL CONSTRAINT message_search_tokens CHECK (cardinality(tokens) BETWEEN 1 AND 2000),
    PRIMARY KEY (conversation_id, sequence)
);
CREATE INDEX message_search_by_tokens ON message_search USING gin (tokens);
