-- The events of each booking, and the messages that must still be delivered.

-- The events of a booking, in order. `data` is the published event as JSON: ids and numbers, no personal data.
--
-- An event's hash covers everything that is published and the hash of the previous event, so altered, removed or
-- inserted events are detected. The column computes the hash, so no writer can store a wrong one. A generated column
-- allows only immutable functions; escaping backslashes and decoding converts text to its bytes with such functions.
CREATE FUNCTION event_hash(
    previous_hash bytea, event_id uuid, booking_id uuid, version bigint, occurred_at timestamptz, type text, data json)
RETURNS bytea LANGUAGE sql IMMUTABLE
RETURN sha256(
    previous_hash || uuid_send(event_id) || uuid_send(booking_id) || int8send(version) || timestamptz_send(occurred_at)
    || decode(replace(type || data::text, '\', '\\'), 'escape'));

CREATE TABLE booking_events (
    event_id         uuid        PRIMARY KEY,
    booking_id       uuid        NOT NULL REFERENCES bookings,
    version          bigint      NOT NULL CONSTRAINT event_version CHECK (version >= 1),
    type             text        NOT NULL,
    occurred_at      timestamptz NOT NULL,
    data             json        NOT NULL,
    traceparent      text,
    previous_hash    bytea       NOT NULL,
    hash             bytea       NOT NULL GENERATED ALWAYS AS (
                         event_hash(previous_hash, event_id, booking_id, version, occurred_at, type, data)) STORED,
    stream_position  xid8        NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT booking_events_version_key UNIQUE (booking_id, version),
    CONSTRAINT event_previous_hash CHECK (octet_length(previous_hash) = CASE WHEN version = 1 THEN 0 ELSE 32 END)
);

-- The data of the first event of a booking that CreateBooking makes, as JSON of teppan.events.v1.BookingCreated.
CREATE FUNCTION booking_created(
    booking_id uuid, venue_id uuid, slot_date date, start_time time, status text, moment timestamptz, customer_id uuid,
    conversation_id text, confirmation_code text, starts_at timestamptz, ends_at timestamptz, time_zone text,
    party_size integer, price_per_person_cents bigint, total_cents bigint, deposit_cents bigint, currency text,
    hold_expires_at timestamptz) RETURNS json
LANGUAGE sql STABLE AS $$
SELECT json_build_object(
    'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', left(start_time::text, 5),
    'booking_version', '1', 'status', 'BOOKING_STATUS_' || status, 'occurred_at', moment,
    'customer_id', customer_id, 'conversation_id', conversation_id, 'confirmation_code', confirmation_code,
    'starts_at', starts_at, 'ends_at', ends_at, 'time_zone', time_zone, 'party_size', party_size,
    'price_per_person_cents', price_per_person_cents::text, 'total_cents', total_cents::text,
    'deposit_cents', deposit_cents::text, 'currency', currency, 'hold_expires_at', hold_expires_at,
    'waitlist_entry_id', '')
$$;

-- The order in which StreamBookingEvents returns events, and why no reader misses an event.
--
-- Readers read events in the order of (stream_position, version, event_id), and only events whose stream position is
-- below the watermark: the oldest running transaction, which is the xmin of their snapshot.
--
-- No event appears later at a position that a reader has passed. The stream position of an event is at least the id of
-- the transaction that wrote it. An event that a snapshot does not show was written by a transaction that was still
-- running, so its id is at least xmin, or that had no id yet, so its id will be larger than all earlier ids. So all
-- events below xmin are visible, and xmin never decreases.
--
-- The events of one booking are in the order of their versions. Transaction ids alone do not ensure this: an UPDATE has
-- its id before it waits for the row, so the writer of version 3 may have a smaller id than the writer of version 2.
-- Therefore the trigger below raises the stream position to at least that of the previous event, and the version
-- decides between equal positions. A writer of version n + 1 knows the hash of version n, so version n is committed or
-- written by the same transaction. The trigger is volatile, so its own snapshot shows version n.
CREATE UNIQUE INDEX booking_events_stream ON booking_events (stream_position, version, event_id);

CREATE FUNCTION stand_behind_previous_event() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- GREATEST ignores NULL.
    NEW.stream_position := GREATEST(NEW.stream_position, (
        SELECT previous.stream_position
        FROM booking_events previous
        WHERE previous.booking_id = NEW.booking_id AND previous.version = NEW.version - 1
    ));
    RETURN NEW;
END
$$;

-- A first event has no previous event, so the trigger costs CreateBooking nothing.
CREATE TRIGGER booking_events_order BEFORE INSERT ON booking_events
    FOR EACH ROW WHEN (NEW.version > 1) EXECUTE FUNCTION stand_behind_previous_event();

-- The id of the stream to which cursors belong, and the position up to which checkpoints cover its events (see
-- 0007_event_checkpoints.sql). One row.
CREATE TABLE event_stream (
    is_only              boolean PRIMARY KEY DEFAULT true CONSTRAINT event_stream_is_only CHECK (is_only),
    stream_id            uuid    NOT NULL,
    checkpoint_position  xid8    NOT NULL DEFAULT '0',
    checkpoint_version   bigint  NOT NULL DEFAULT 0,
    checkpoint_event_id  uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
INSERT INTO event_stream (stream_id) VALUES (gen_random_uuid());

-- For operators, after a restore of the database, while the services are stopped. A restored cluster may count
-- transactions from a lower number. Then it would hide events until it reaches their stream positions, and cursors from
-- after the backup would skip new events. This function makes all events readable, in the same order within each
-- booking, and makes all earlier cursors invalid. Checkpoints continue before the events that it has moved, so some
-- events are covered again, and none is left out.
CREATE FUNCTION restart_event_stream() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    UPDATE booking_events SET stream_position = pg_current_xact_id() WHERE stream_position > pg_current_xact_id();
    UPDATE event_stream
    SET checkpoint_position = pg_current_xact_id(), checkpoint_version = 0,
        checkpoint_event_id = '00000000-0000-0000-0000-000000000000'
    WHERE checkpoint_position >= pg_current_xact_id();
    UPDATE event_stream SET stream_id = gen_random_uuid() RETURNING stream_id;
$$;

-- The outbox: a row for each message that must still be delivered. The statement that writes the event also writes the
-- message; the statement that records the delivery removes it. So the table is as large as the backlog and needs no
-- purge. teppan-shared has the statements; the table is the same in both services.
--
-- A message is due at `next_attempt_at`. A claim moves it to the end of its lease, so a message whose relay died
-- becomes due again. `attempts` counts the deliveries that count against the limit. `claims` counts every claim and
-- never decreases: a result is accepted only with the number of the latest claim.
CREATE TABLE outbox_messages (
    -- An event of a booking, of a customer or of a checkpoint; the statement that writes the event also writes the
    -- message.
    event_id           uuid        NOT NULL,
    destination        text        NOT NULL CONSTRAINT outbox_message_destination
                                   CHECK (destination IN ('conversation-service', 'event-stream')),
    -- The booking or the customer. Its messages are delivered to each destination in the order of `version`. For the
    -- conversation of an erased customer: the customer and the conversation, `CUSTOMER/CONVERSATION`. For a checkpoint:
    -- `checkpoints/NUMBER`.
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
    -- The booking is the first column, because messages of a booking are looked up by this key. A claim selects by
    -- destination, so it can use only the index below.
    PRIMARY KEY (aggregate_id, destination, version),
    CONSTRAINT outbox_message_attempts CHECK (attempts BETWEEN 0 AND claims),
    -- A lease ends when the message may be claimed again.
    CONSTRAINT outbox_message_lease CHECK (lease_expires_at = next_attempt_at),
    CONSTRAINT outbox_message_dead CHECK ((dead_at IS NULL) = (dead_letter_id IS NULL)),
    CONSTRAINT outbox_message_dead_is_not_leased CHECK (dead_at IS NULL OR lease_expires_at IS NULL)
-- Rows are inserted and deleted constantly, so vacuum starts at a number of dead rows, not at a fraction of the table.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);

-- Due messages, the longest due first. A leased message is due at the end of its lease.
CREATE INDEX outbox_messages_due ON outbox_messages (destination, next_attempt_at) WHERE dead_at IS NULL;

-- Dead letters, in the order in which they became dead letters, and by id.
CREATE INDEX outbox_messages_dead ON outbox_messages (dead_at, dead_letter_id) WHERE dead_at IS NOT NULL;
CREATE UNIQUE INDEX outbox_messages_dead_letter ON outbox_messages (dead_letter_id) WHERE dead_at IS NOT NULL;

-- When each destination last received a message, to the second. Delivered messages are not kept.
CREATE TABLE outbox_destinations (
    destination        text PRIMARY KEY,
    last_delivered_at  timestamptz
) WITH (fillfactor = 50);
INSERT INTO outbox_destinations (destination) VALUES ('conversation-service'), ('event-stream');

-- The events of the messages; 0008_customer_events.sql adds those of customers.
CREATE VIEW outbox_events AS SELECT event_id, type, occurred_at, data FROM booking_events;
