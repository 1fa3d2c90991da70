-- Events of conversations and follow-ups that are still to be published, written in the statement that
-- made them true, where a broker is set up (NATS_URL). A row is work to do: it goes when it is done.
-- `message_id` gives the order within a conversation.
--
-- A message waits for `next_attempt_at`. Whoever claims it moves that to the end of the lease: a claimed
-- message comes back by itself when nobody reports what became of it. `attempts` are the deliveries that
-- count against the most there may be. `claims` counts every claim and never goes back: what became of a
-- delivery is accepted only under the number of the claim that still stands.
CREATE TABLE outbox_messages (
    message_id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id           uuid        NOT NULL CONSTRAINT outbox_messages_event UNIQUE,
    conversation_id    text        COLLATE "C" NOT NULL,
    type               text        NOT NULL,
    occurred_at        timestamptz NOT NULL,
    data               json        NOT NULL,
    traceparent        text,
    attempts           integer     NOT NULL DEFAULT 0,
    claims             bigint      NOT NULL DEFAULT 0,
    next_attempt_at    timestamptz NOT NULL,
    lease_expires_at   timestamptz,
    last_error_reason  text        NOT NULL DEFAULT '',
    dead_at            timestamptz,
    dead_letter_id     uuid,
    CONSTRAINT outbox_message_attempts CHECK (attempts BETWEEN 0 AND claims),
    -- A lease ends when the message may be claimed again.
    CONSTRAINT outbox_message_lease CHECK (lease_expires_at = next_attempt_at),
    CONSTRAINT outbox_message_dead CHECK ((dead_at IS NULL) = (dead_letter_id IS NULL)),
    CONSTRAINT outbox_message_dead_is_not_leased CHECK (dead_at IS NULL OR lease_expires_at IS NULL)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
-- What is due, the longest due first. Leased messages stand at the end of their lease.
CREATE INDEX outbox_messages_due ON outbox_messages (next_attempt_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_messages_order ON outbox_messages (conversation_id, message_id);
-- Dead letters, in the order in which they were given up, and by their ids.
CREATE INDEX outbox_messages_dead ON outbox_messages (dead_at, dead_letter_id) WHERE dead_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_messages_dead_letter ON outbox_messages (dead_letter_id) WHERE dead_at IS NOT NULL;

-- When an event was last published, to the second: published ones are not kept. One row.
CREATE TABLE outbox_destinations (
    destination        text PRIMARY KEY CONSTRAINT outbox_destination CHECK (destination = 'event-stream'),
    last_delivered_at  timestamptz
) WITH (fillfactor = 50);
INSERT INTO outbox_destinations (destination) VALUES ('event-stream');
