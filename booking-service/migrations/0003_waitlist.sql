-- The queues for slots that have not enough open seats. An entry is one customer's place in one of them.
--
-- `place` is the order of joining. Whoever joins holds the lock of the slot while the place is given, so
-- that within a queue places are given in the order in which they are committed: nobody comes in before
-- somebody who has been told a position.
--
-- `booking_id` is decided when the customer joins: it is the booking that an offer will be. What is sealed
-- under it is moved to that booking without being opened, and does not stay here when the wait is over.
CREATE TABLE waitlist_entries (
    waitlist_entry_id        uuid        PRIMARY KEY,
    place                    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT waitlist_entries_place_key UNIQUE
                                         CONSTRAINT waitlist_entry_place CHECK (place > 0),
    status                   text        NOT NULL CONSTRAINT waitlist_entry_status
                                         CHECK (status IN ('WAITING', 'OFFERED', 'ACCEPTED', 'LAPSED', 'LEFT', 'CLOSED')),
    venue_id                 uuid        NOT NULL,
    slot_date                date        NOT NULL,
    start_time               time        NOT NULL,
    customer_id              uuid        NOT NULL REFERENCES customers,
    party_size               integer     NOT NULL CONSTRAINT waitlist_entry_party_size CHECK (party_size BETWEEN 1 AND 50),
    conversation_id          text        NOT NULL DEFAULT '',
    special_requests_sealed  bytea,
    source                   text        NOT NULL DEFAULT '',
    traceparent              text,
    booking_id               uuid        NOT NULL CONSTRAINT waitlist_entries_booking_key UNIQUE,
    -- When the slot begins to be too near, by the venue's notice as it was when this was last looked at.
    bookable_until           timestamptz NOT NULL,
    offered_at               timestamptz,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    FOREIGN KEY (venue_id, slot_date, start_time) REFERENCES slots,
    -- Who leaves may have had an offer or not.
    CONSTRAINT waitlist_entry_offered CHECK (
        CASE status
            WHEN 'LEFT' THEN true
            ELSE (status IN ('OFFERED', 'ACCEPTED', 'LAPSED')) = (offered_at IS NOT NULL)
        END),
    CONSTRAINT waitlist_entry_keeps_no_requests CHECK (status = 'WAITING' OR special_requests_sealed IS NULL)
);

-- A customer waits once for a slot, and not while an offer of it stands.
CREATE UNIQUE INDEX waitlist_entries_wait_once ON waitlist_entries (customer_id, venue_id, slot_date, start_time)
    WHERE status IN ('WAITING', 'OFFERED');
-- The queue of a slot in order, and the first of each party size in it: who is next is found by as many
-- looks as there are open seats, however many wait. Both would do for either question on an empty table, and
-- only one on a large one: each asks for its own by a condition that is always true.
CREATE INDEX waitlist_entries_queue ON waitlist_entries (venue_id, slot_date, start_time, place)
    WHERE status = 'WAITING' AND place > 0;
CREATE INDEX waitlist_entries_next ON waitlist_entries (venue_id, slot_date, start_time, party_size, place)
    WHERE status = 'WAITING' AND party_size > 0;
-- Those whose slot can no longer be booked.
CREATE INDEX waitlist_entries_closing ON waitlist_entries (bookable_until) WHERE status = 'WAITING';
-- ListWaitlist: in order of joining, whatever narrows it.
CREATE INDEX waitlist_entries_venue ON waitlist_entries (venue_id, place);
CREATE INDEX waitlist_entries_day ON waitlist_entries (venue_id, slot_date, place);
CREATE INDEX waitlist_entries_customer ON waitlist_entries (customer_id, place);
CREATE INDEX waitlist_entries_conversation ON waitlist_entries (conversation_id, place) WHERE conversation_id <> '';

-- Place in the queue, 1 is next, 1,000 is that or behind it: the slot's lock is held meanwhile, so that there
-- is a bound to what is counted. Volatile, so that it looks in a snapshot of its
-- own: who has just joined is told of those who joined while the slot's lock was waited for.
CREATE FUNCTION waitlist_position(venue_id uuid, slot_date date, start_time time, place bigint) RETURNS integer
LANGUAGE sql VOLATILE
RETURN (
    SELECT 1 + count(*)
    FROM (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = $1 AND w.slot_date = $2 AND w.start_time = $3 AND w.status = 'WAITING'
          AND w.place > 0 AND w.place < $4
        LIMIT 999
    ) AS ahead
);

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
