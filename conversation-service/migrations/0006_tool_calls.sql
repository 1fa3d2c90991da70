-- The tool calls of a conversation and their results, by the ids that clients give: what pairs them. Rows are written by
-- the statement that stores the messages, and never changed. They outlive a redaction, and hold nothing but ids.
CREATE TABLE tool_calls (
    conversation_id  text    COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    call_id          text    COLLATE "C" NOT NULL CONSTRAINT tool_call_id_form CHECK (octet_length(call_id) BETWEEN 1 AND 100 AND call_id !~ '[^ -~]'),
    -- The message with the call.
    sequence         bigint  NOT NULL CONSTRAINT tool_call_sequence CHECK (sequence >= 1),
    PRIMARY KEY (conversation_id, call_id)
);

-- A table of its own: its keys alone say that a result answers a call, and that a call is answered once.
CREATE TABLE tool_results (
    conversation_id  text    COLLATE "C" NOT NULL,
    call_id          text    COLLATE "C" NOT NULL,
    -- The message with the result.
    sequence         bigint  NOT NULL CONSTRAINT tool_result_sequence CHECK (sequence >= 2),
    PRIMARY KEY (conversation_id, call_id),
    CONSTRAINT tool_results_call_fkey FOREIGN KEY (conversation_id, call_id) REFERENCES tool_calls ON DELETE CASCADE
);
