-- The order in which StreamBookingEvents shows events, and why no reader ever misses one.
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
ALTER TABLE booking_events
    ADD COLUMN stream_position xid8 NOT NULL DEFAULT pg_current_xact_id();

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
