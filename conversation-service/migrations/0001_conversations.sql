-- Clients choose the id of a conversation. Every message changes its counters. The fillfactor leaves room for new row
-- versions, and no index contains a column that changes, so that storing a message is a heap-only update.
CREATE TABLE conversations (
    conversation_id         text        COLLATE "C" PRIMARY KEY
                                        CONSTRAINT conversation_id_form CHECK (octet_length(conversation_id) BETWEEN 1 AND 100 AND conversation_id !~ '[^A-Za-z0-9._:-]'),
    -- The user: a keyed hash to find the conversations of one, and the id itself, sealed.
    user_hash               bytea,
    user_sealed             bytea,
    channel                 text        NOT NULL CONSTRAINT conversation_channel
                                        CHECK (channel IN ('WEB', 'EMAIL', 'SMS', 'VOICE', 'WHATSAPP', 'FACEBOOK', 'INSTAGRAM')),
    status                  text        NOT NULL DEFAULT 'OPEN' CONSTRAINT conversation_status
                                        CHECK (status IN ('OPEN', 'ESCALATED', 'CLOSED')),
    message_count           bigint      NOT NULL CONSTRAINT conversation_not_empty CHECK (message_count >= 1),
    -- The newest message with a score.
    newest_scored_sequence  bigint      NOT NULL DEFAULT 0
                                        CONSTRAINT conversation_newest_scored CHECK (newest_scored_sequence BETWEEN 0 AND message_count),
    last_message_at         timestamptz NOT NULL,
    -- The latest `sent_at` of the customer's own messages. Messages of the assistant do not count for re-engagement.
    customer_wrote_at       timestamptz,
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    closed_at               timestamptz,
    CONSTRAINT conversation_user CHECK (COALESCE(octet_length(user_hash), 32) = 32 AND (user_hash IS NULL) = (user_sealed IS NULL)),
    CONSTRAINT conversation_closed CHECK ((status = 'CLOSED') = (closed_at IS NOT NULL))
) WITH (fillfactor = 50);

-- Every list of conversations reads one of these two, newest first. A list without a filter on channel or status merges
-- their few values (see src/conversations/list.sql).
CREATE INDEX conversations_list ON conversations (channel, status, created_at, conversation_id);
CREATE INDEX conversations_list_by_user ON conversations (user_hash, channel, status, created_at, conversation_id)
    WHERE user_hash IS NOT NULL;
-- The newest conversations of a user. Neither column changes with a message.
CREATE INDEX conversations_newest_by_user ON conversations (user_hash, created_at) WHERE user_hash IS NOT NULL;
