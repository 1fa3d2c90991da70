-- What happened to each booking, and what must still be delivered of it.

-- The events of a booking, in order. `data` is the published event as JSON: ids and figures, no personal data.
--
-- An event's hash covers everything that is published and the hash before it, so that no event can
-- be altered, dropped or inserted unseen. It is computed here and nowhere else: a wrong one cannot
-- be written. (Escaping backslashes and decoding is how text becomes its bytes by functions that
-- PostgreSQL allows in a generated column.)
CREATE TABLE booking_events (
    event_id         uuid        PRIMARY KEY,
    booking_id       uuid        NOT NULL REFERENCES bookings,
    version          bigint      NOT NULL CONSTRAINT event_version CHECK (version >= 1),
    type             text        NOT NULL,
    occurred_at      timestamptz NOT NULL,
    data             json        NOT NULL,
    traceparent      text,
    previous_hash    bytea       NOT NULL,
    hash             bytea       NOT NULL GENERATED ALWAYS AS (sha256(
                         previous_hash || uuid_send(event_id) || uuid_send(booking_id) || int8send(version)
                         || timestamptz_send(occurred_at) || decode(replace(type || data::text, '\', '\\'), 'escape')
                     )) STORED,
    stream_position  xid8        NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT booking_events_version_key UNIQUE (booking_id, version),
    CONSTRAINT event_previous_hash CHECK (octet_length(previous_hash) = CASE WHEN version = 1 THEN 0 ELSE 32 END)
);

-- The order in which StreamBookingEvents shows events, by `stream_position`, and why no reader ever misses one.
--
-- Readers take events by (stream_position, version, event_id), and only those whose position is below
-- the oldest transaction that still runs, the xmin of their snapshot.
--
-- Nothing appears behind a reader. The position of an event is the id of the transaction that wrote
-- it, or a larger one. Whatever a snapshot does not show was written by a transaction that still ran,
-- whose id is xmin or more, or had no id yet, and gets one that is larger than all before. So below
-- xmin everything is there that ever will be; and xmin never goes back.
--
-- The events of one booking come in the order of their versions. Transaction ids alone do not give
-- that: an UPDATE has its id before it waits for the row, so that the writer of version 3 may have a
-- smaller one than the writer of version 2. Therefore an event stands at least where its predecessor
-- stands, by the trigger below, and the version decides between equal positions. Who writes version
-- n + 1 knows the hash of version n, so that n is committed, or written by the same transaction; the
-- trigger is volatile, so that it looks in a snapshot of its own and finds it.
CREATE UNIQUE INDEX booking_events_stream ON booking_events (stream_position, version, event_id);

CREATE FUNCTION stand_behind_previous_event() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- GREATEST leaves out what is not there.
    NEW.stream_position := GREATEST(NEW.stream_position, (
        SELECT previous.stream_position
        FROM booking_events previous
        WHERE previous.booking_id = NEW.booking_id AND previous.version = NEW.version - 1
    ));
    RETURN NEW;
END
$$;

-- A first event has none before it: CreateBooking pays nothing for this.
CREATE TRIGGER booking_events_order BEFORE INSERT ON booking_events
    FOR EACH ROW WHEN (NEW.version > 1) EXECUTE FUNCTION stand_behind_previous_event();

-- Which stream a cursor belongs to. One row.
CREATE TABLE event_stream (
    is_only    boolean PRIMARY KEY DEFAULT true CONSTRAINT event_stream_is_only CHECK (is_only),
    stream_id  uuid    NOT NULL
);
INSERT INTO event_stream (stream_id) VALUES (gen_random_uuid());

-- For operators, with the services stopped, after the database was restored: a cluster that counts
-- transactions from a lower number would hide events until it has counted that far, and cursors of
-- what came after the backup would lead past what comes now. Events come into reach, in the same order
-- within each booking, and every cursor from before is refused.
CREATE FUNCTION restart_event_stream() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    UPDATE booking_events SET stream_position = pg_current_xact_id() WHERE stream_position > pg_current_xact_id();
    UPDATE event_stream SET stream_id = gen_random_uuid() RETURNING stream_id;
$$;

-- The outbox: a row for each message that must still be delivered, written by the statement that made it true and
-- removed by the statement that records its delivery. So the table is as large as the backlog and needs no purge.
-- teppan-shared has the statements; the table is the same in both services.
--
-- A message is due at `next_attempt_at`. A claim moves that to the end of its lease, so that a message whose relay
-- died comes back by itself. `attempts` are the deliveries that count against the limit. `claims` counts every claim
-- and never goes back: a result is accepted only under the number of the latest claim.
CREATE TABLE outbox_messages (
    event_id           uuid        NOT NULL CONSTRAINT outbox_message_event REFERENCES booking_events,
    destination        text        NOT NULL CONSTRAINT outbox_message_destination
                                   CHECK (destination IN ('conversation-service', 'event-stream')),
    -- The booking. Its messages are delivered to each destination in the order of `version`.
    aggregate_id       text        COLLATE "C" NOT NULL,
    version            bigint      NOT NULL,
    traceparent        text,
    created_at         timestamptz NOT NULL,
    attempts           integer     NOT NULL DEFAULT 0,
    claims             bigint      NOT NULL DEFAULT 0,
    next_attempt_at    timestamptz NOT NULL,
    lease_expires_at   timestamptz,
    last_error_reason  text        NOT NULL DEFAULT '',
    dead_at            timestamptz,
    dead_letter_id     uuid,
    -- The booking comes first: its messages are looked up by this key. A claim, which asks for a destination, can
    -- then use only the index below.
    PRIMARY KEY (aggregate_id, destination, version),
    CONSTRAINT outbox_message_attempts CHECK (attempts BETWEEN 0 AND claims),
    -- A lease ends when the message may be claimed again.
    CONSTRAINT outbox_message_lease CHECK (lease_expires_at = next_attempt_at),
    CONSTRAINT outbox_message_dead CHECK ((dead_at IS NULL) = (dead_letter_id IS NULL)),
    CONSTRAINT outbox_message_dead_is_not_leased CHECK (dead_at IS NULL OR lease_expires_at IS NULL)
-- Rows come and go all the time: dead rows are vacuumed by their number, not by their share.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);

-- Due messages, the longest due first. Leased messages stand at the end of their lease.
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

-- The events that the messages carry.
CREATE VIEW outbox_events AS SELECT event_id, type, occurred_at, data FROM booking_events;
