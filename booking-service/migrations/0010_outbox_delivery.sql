-- The outbox as a queue: a row is work to do, and is removed by the statement that records that it is
-- done. What happened stays in booking_events, so nothing has to be purged later and the table is as
-- large as the backlog.
--
-- A message waits for `next_attempt_at`. Whoever claims it moves that to the end of the lease: a claimed
-- message comes back by itself when nobody tells what became of it. `attempts` are the deliveries that
-- count against the most there may be. `claims` counts every claim and never goes back: what became of a
-- delivery is accepted only under the number of the claim that still stands.
--
-- The defaults are for the version before, which runs beside this one during a rollout.
ALTER TABLE outbox_messages
    DROP CONSTRAINT outbox_messages_pkey,
    DROP CONSTRAINT outbox_messages_event_id_fkey,
    ADD COLUMN version            bigint      NOT NULL DEFAULT 1,
    ADD COLUMN attempts           integer     NOT NULL DEFAULT 0,
    ADD COLUMN claims             bigint      NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN lease_expires_at   timestamptz,
    ADD COLUMN last_error_reason  text        NOT NULL DEFAULT '',
    ADD COLUMN dead_at            timestamptz,
    ADD COLUMN dead_letter_id     uuid;

UPDATE outbox_messages o
SET version = e.version, next_attempt_at = o.created_at
FROM booking_events e
WHERE e.event_id = o.event_id;

ALTER TABLE outbox_messages
    -- The booking comes first: the messages of one booking are looked up by it, and a claim, which asks
    -- for a destination, can only go by the index below.
    ADD PRIMARY KEY (booking_id, destination, version),
    ADD CONSTRAINT outbox_message_event FOREIGN KEY (booking_id, version) REFERENCES booking_events (booking_id, version),
    ADD CONSTRAINT outbox_message_destination CHECK (destination IN ('conversation-service', 'event-stream')),
    ADD CONSTRAINT outbox_message_attempts CHECK (attempts BETWEEN 0 AND claims),
    -- A lease ends when the message may be claimed again.
    ADD CONSTRAINT outbox_message_lease CHECK (lease_expires_at = next_attempt_at),
    ADD CONSTRAINT outbox_message_dead CHECK ((dead_at IS NULL) = (dead_letter_id IS NULL)),
    ADD CONSTRAINT outbox_message_dead_is_not_leased CHECK (dead_at IS NULL OR lease_expires_at IS NULL),
    -- Rows come and go all the time: the dead ones are removed by their number, not by their share.
    SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);

-- What is due, the longest due first. Leased messages stand at the end of their lease.
CREATE INDEX outbox_messages_due ON outbox_messages (destination, next_attempt_at) WHERE dead_at IS NULL;

-- Dead letters, in the order in which they were given up, and by their ids.
CREATE INDEX outbox_messages_dead ON outbox_messages (dead_at, dead_letter_id) WHERE dead_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_messages_dead_letter ON outbox_messages (dead_letter_id) WHERE dead_at IS NOT NULL;

-- When each destination last took a message, to the second: delivered messages are not kept.
CREATE TABLE outbox_destinations (
    destination        text PRIMARY KEY,
    last_delivered_at  timestamptz
) WITH (fillfactor = 50);
INSERT INTO outbox_destinations (destination) VALUES ('conversation-service'), ('event-stream');
