-- Slots of which seats came free while somebody waits for them: work for whoever offers them.
--
-- Who frees seats only ever adds a note of its own and waits for nobody at this table; who offers them takes
-- notes that nobody has locked. A note is removed by a statement whose snapshot shows it and which found
-- nobody to offer the seats to; whatever that statement could not see was freed by somebody whose note it
-- could not see either, and did not remove.
--
-- A note waits for `next_attempt_at` where its slot is beyond the venue's horizon, or where an attempt has
-- failed, so that one slot keeps no other from being offered. New ones are due at once, by whatever clock.
CREATE TABLE waitlist_openings (
    opening_id       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    venue_id         uuid        NOT NULL,
    slot_date        date        NOT NULL,
    start_time       time        NOT NULL,
    -- Since when the seats can be offered.
    noted_at         timestamptz NOT NULL,
    next_attempt_at  timestamptz NOT NULL DEFAULT '-infinity'
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_threshold = -1);

CREATE INDEX waitlist_openings_slot ON waitlist_openings (venue_id, slot_date, start_time, opening_id);
CREATE INDEX waitlist_openings_due ON waitlist_openings (next_attempt_at, opening_id);

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
-- the seats came free; and those who wait may do so for a shorter time. How many they are nobody knows, so
-- UpdateVenue only notes that they are to be gone through, in the order of slot and place: `after_...` is how
-- far that has come.
CREATE TABLE waitlist_reviews (
    review_id   bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    venue_id    uuid    NOT NULL,
    after_date  date    NOT NULL DEFAULT '-infinity',
    after_time  time    NOT NULL DEFAULT '00:00',
    after_place bigint  NOT NULL DEFAULT 0
);

CREATE FUNCTION note_waitlist_review() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_reviews (venue_id)
    SELECT NEW.venue_id
    WHERE EXISTS (
        SELECT FROM waitlist_entries w WHERE w.venue_id = NEW.venue_id AND w.status = 'WAITING' AND w.place > 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER venues_waitlist AFTER UPDATE OF min_party_size, max_party_size, notice_minutes, horizon_days ON venues
    FOR EACH ROW WHEN (
        (NEW.min_party_size, NEW.max_party_size, NEW.notice_minutes, NEW.horizon_days)
        <> (OLD.min_party_size, OLD.max_party_size, OLD.notice_minutes, OLD.horizon_days))
    EXECUTE FUNCTION note_waitlist_review();
