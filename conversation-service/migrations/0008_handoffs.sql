-- Who holds a conversation: one row for each that was ever handed over to a person. A table of its own, so that storing
-- a message, which updates `conversations`, reads none of these constraints. Whether it is handed over now says
-- conversations.status: ESCALATED exactly when `escalated_at` is set.
CREATE TABLE conversation_handoffs (
    conversation_id  text        COLLATE "C" PRIMARY KEY REFERENCES conversations ON DELETE CASCADE,
    -- Raised by every change of these columns and by every call that changes the status.
    version          bigint      NOT NULL CONSTRAINT handoff_version CHECK (version >= 1),
    escalated_at     timestamptz,
    reason           text        CONSTRAINT handoff_reason
                                 CHECK (reason IN ('LOW_EMOTION', 'CUSTOMER_REQUEST', 'BEYOND_ASSISTANT', 'OTHER')),
    -- The person who holds it; NULL while it waits in the queue.
    assignee         text        COLLATE "C" CONSTRAINT handoff_assignee_form CHECK (octet_length(assignee) BETWEEN 1 AND 100 AND assignee !~ '[^ -~]'),
    -- Since when it waits in the queue, or is with its assignee.
    held_since       timestamptz,
    CONSTRAINT handoff_held CHECK (
        CASE WHEN escalated_at IS NULL THEN reason IS NULL AND assignee IS NULL AND held_since IS NULL
             ELSE reason IS NOT NULL AND held_since >= escalated_at
        END)
);
-- For lists of the longest waiting: of all, and of the queue ('') or one person.
CREATE INDEX conversation_handoffs_list ON conversation_handoffs (held_since, conversation_id)
    WHERE escalated_at IS NOT NULL;
CREATE INDEX conversation_handoffs_list_by_assignee
    ON conversation_handoffs (COALESCE(assignee, ''), held_since, conversation_id)
    WHERE escalated_at IS NOT NULL;
