-- Slots of which seats came free while somebody waits for them: work for whoever offers them.
--
-- A note is only ever added and removed. Nobody waits for another at this table: who frees seats adds a note
-- of its own, and who offers them takes notes that nobody has locked. A note is removed by a statement whose
-- snapshot shows it and which found nobody to offer the seats to; whatever that statement could not see was
-- freed by somebody whose note it could not see either, and did not remove.
CREATE TABLE waitlist_openings (
    opening_id  bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    venue_id    uuid        NOT NULL,
    slot_date   date        NOT NULL,
    start_time  time        NOT NULL,
    noted_at    timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);

CREATE INDEX waitlist_openings_slot ON waitlist_openings (venue_id, slot_date, start_time, opening_id);

-- Whatever frees seats changes the slot's row: a cancellation, a hold that runs out, a booking that moves or
-- gets smaller, seats that are added, a slot that is opened, a new schedule. So it is noted here, and nothing
-- that frees seats need know of those who wait.
--
-- No opening is lost to somebody who joins meanwhile. JoinWaitlist locks the slot's row before it decides
-- that the seats are not there. Either it has that lock first: then it has committed when this row is
-- changed, and this function, which is volatile and looks in a snapshot of its own, sees the entry. Or the
-- seats are freed first: then JoinWaitlist sees them on the locked row and says that they can be booked.
CREATE FUNCTION note_waitlist_opening() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT NEW.venue_id, NEW.slot_date, NEW.start_time, clock_timestamp()
    WHERE EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = NEW.venue_id AND w.slot_date = NEW.slot_date AND w.start_time = NEW.start_time
          AND w.status = 'WAITING' AND w.place > 0);
    RETURN NULL;
END
$$;

-- Taking seats is none of it: CreateBooking pays a comparison.
CREATE TRIGGER slots_opening AFTER UPDATE OF reserved, capacity, state ON slots
    FOR EACH ROW WHEN (
        NEW.state = 'OPEN' AND NEW.reserved < NEW.capacity
        AND (NEW.capacity - NEW.reserved > OLD.capacity - OLD.reserved OR OLD.state <> 'OPEN'))
    EXECUTE FUNCTION note_waitlist_opening();

-- A venue that takes other parties, or takes them at other times, may take somebody now whom it did not when
-- the seats came free; and those who wait may do so for a shorter or a longer time.
CREATE FUNCTION reconsider_waitlist() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT DISTINCT w.venue_id, w.slot_date, w.start_time, clock_timestamp()
    FROM waitlist_entries w
    WHERE w.venue_id = NEW.venue_id AND w.status = 'WAITING' AND w.place > 0;
    IF NEW.notice_minutes <> OLD.notice_minutes THEN
        UPDATE waitlist_entries w
        SET bookable_until = s.starts_at - make_interval(mins => NEW.notice_minutes)
        FROM slots s
        WHERE w.venue_id = NEW.venue_id AND w.status = 'WAITING' AND w.place > 0
          AND s.venue_id = w.venue_id AND s.slot_date = w.slot_date AND s.start_time = w.start_time;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER venues_waitlist AFTER UPDATE OF min_party_size, max_party_size, notice_minutes, horizon_days ON venues
    FOR EACH ROW WHEN (
        (NEW.min_party_size, NEW.max_party_size, NEW.notice_minutes, NEW.horizon_days)
        <> (OLD.min_party_size, OLD.max_party_size, OLD.notice_minutes, OLD.horizon_days))
    EXECUTE FUNCTION reconsider_waitlist();
