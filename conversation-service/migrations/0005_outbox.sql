-- The outbox: a row for each event that must still be published. If NATS is configured (NATS_URL), the statement that
-- makes a change also inserts its events. The statement that records the delivery deletes the row, so the table
-- contains only the backlog and needs no purge. teppan-shared has the statements. The table is the same in both
-- services, but here it also contains the events.
--
-- A message is due at `next_attempt_at`. A claim sets that to the end of its lease, so the message is due again if its
-- relay ends. `attempts` counts the deliveries that count against the limit. `claims` counts all claims and never
-- decreases; a result is accepted only with the number of the latest claim.
CREATE TABLE outbox_messages (
    event_id           uuid        NOT NULL CONSTRAINT outbox_messages_event UNIQUE,
    destination        text        NOT NULL DEFAULT 'event-stream' CONSTRAINT outbox_message_destination
                                   CHECK (destination = 'event-stream'),
    -- The conversation. Its messages are delivered to each destination in the order of `version`.
    aggregate_id       text        COLLATE "C" NOT NULL,
    version            bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    traceparent        text,
    created_at         timestamptz NOT NULL,
    attempts           integer     NOT NULL DEFAULT 0,
    claims             bigint      NOT NULL DEFAULT 0,
    next_attempt_at    timestamptz NOT NULL,
    lease_expires_at   timestamptz,
    last_error_reason  text        NOT NULL DEFAULT '',
    dead_at            timestamptz,
    dead_letter_id     uuid,
    -- The event, which occurred at `created_at`.
    type               text        NOT NULL,
    data               json        NOT NULL,
    -- The conversation comes first, because its messages are looked up by this key. A claim filters by destination, so
    -- it can use only the index below.
    PRIMARY KEY (aggregate_id, destination, version),
    CONSTRAINT outbox_message_attempts CHECK (attempts BETWEEN 0 AND claims),
    -- When a lease ends, the message can be claimed again.
    CONSTRAINT outbox_message_lease CHECK (lease_expires_at = next_attempt_at),
    CONSTRAINT outbox_message_dead CHECK ((dead_at IS NULL) = (dead_letter_id IS NULL)),
    CONSTRAINT outbox_message_dead_is_not_leased CHECK (dead_at IS NULL OR lease_expires_at IS NULL)
-- Rows are inserted and deleted all the time, so vacuum is triggered by the number of dead rows and not by their share.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);

-- Due messages, the longest due first. Leased messages are ordered by the end of their lease.
CREATE INDEX outbox_messages_due ON outbox_messages (destination, next_attempt_at) WHERE dead_at IS NULL;

-- Dead letters, in the order in which they became dead letters, and by their ids.
CREATE INDEX outbox_messages_dead ON outbox_messages (dead_at, dead_letter_id) WHERE dead_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_messages_dead_letter ON outbox_messages (dead_letter_id) WHERE dead_at IS NOT NULL;

-- The time of the last delivery to each destination, to the second, because delivered messages are not kept.
CREATE TABLE outbox_destinations (
    destination        text PRIMARY KEY,
    last_delivered_at  timestamptz
) WITH (fillfactor = 50);
INSERT INTO outbox_destinations (destination) VALUES ('event-stream');

-- The events of the messages.
CREATE VIEW outbox_events AS SELECT event_id, type, created_at AS occurred_at, data FROM outbox_messages;

-- All dead letters of this service.
CREATE VIEW dead_letters AS
SELECT dead_letter_id, event_id::text AS event_id, type AS event_type, destination, aggregate_id, attempts,
       last_error_reason, created_at, dead_at, traceparent
FROM outbox_messages
WHERE dead_at IS NOT NULL;
