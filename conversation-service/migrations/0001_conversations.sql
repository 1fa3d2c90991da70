-- A conversation is found by the id its client gave. Its counters change with every message: the row
-- has room for its next versions on the same page and no index on what changes then, so that storing
-- a message is a heap-only update.
CREATE TABLE conversations (
    conversation_id  text        COLLATE "C" PRIMARY KEY
                                 CONSTRAINT conversation_id_form CHECK (conversation_id ~ '^[A-Za-z0-9._:-]{1,100}$'),
    user_id          text        CONSTRAINT conversation_user_length CHECK (length(user_id) BETWEEN 1 AND 100),
    channel          text        NOT NULL CONSTRAINT conversation_channel
                                 CHECK (channel IN ('WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    status           text        NOT NULL DEFAULT 'OPEN' CONSTRAINT conversation_status
                                 CHECK (status IN ('OPEN', 'ESCALATED', 'CLOSED')),
    message_count    bigint      NOT NULL CONSTRAINT conversation_not_empty CHECK (message_count >= 1),
    last_message_at  timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    closed_at        timestamptz,
    CONSTRAINT conversation_closed CHECK ((status = 'CLOSED') = (closed_at IS NOT NULL))
) WITH (fillfactor = 50);
