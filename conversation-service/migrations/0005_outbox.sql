-- Events of conversations and follow-ups that are still to be published, written in the statement that
-- made them true, where a broker is set up (NATS_URL). A row is work to do: it goes when it is done.
-- `message_id` gives the order within a conversation.
CREATE TABLE outbox_messages (
    message_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id           uuid        NOT NULL CONSTRAINT outbox_messages_event UNIQUE,
    conversation_id    text        COLLATE "C" NOT NULL,
    type               text        NOT NULL,
    occurred_at        timestamptz NOT NULL,
    data               json        NOT NULL,
    traceparent        text,
    attempts           integer     NOT NULL DEFAULT 0,
    next_attempt_at    timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX outbox_messages_due ON outbox_messages (next_attempt_at);
CREATE INDEX outbox_messages_order ON outbox_messages (conversation_id, message_id);
