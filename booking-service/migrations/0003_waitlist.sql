-- The waitlist: a queue for each slot that has not enough open seats. An entry is one customer in one queue.
--
-- `queue_number` rises in the order of joining; the queue position is computed from it. JoinWaitlist holds the lock of
-- the slot while the number is assigned, so within a queue the numbers rise in commit order. Therefore no entry can
-- appear ahead of a customer who has already received a queue position.
--
-- `booking_id` is chosen when the customer joins: an offer creates the booking with this id. The contact and the special
-- requests are sealed with it as associated data, so an offer copies them to the booking without opening them. They are
-- removed here when the entry stops waiting.
CREATE TABLE waitlist_entries (
    waitlist_entry_id        uuid        PRIMARY KEY,
    queue_number             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY
                                         CONSTRAINT waitlist_entries_queue_number_key UNIQUE
                                         CONSTRAINT waitlist_entry_queue_number CHECK (queue_number > 0),
    status                   text        NOT NULL CONSTRAINT waitlist_entry_status
                                         CHECK (status IN ('WAITING', 'OFFERED', 'ACCEPTED', 'LAPSED', 'LEFT', 'CLOSED')),
    venue_id                 uuid        NOT NULL,
    slot_date                date        NOT NULL,
    start_time               time        NOT NULL,
    customer_id              uuid        NOT NULL REFERENCES customers,
    party_size               integer     NOT NULL CONSTRAINT waitlist_entry_party_size CHECK (party_size BETWEEN 1 AND 50),
    conversation_id          text        NOT NULL DEFAULT '',
    details_sealed           bytea,
    source                   text        NOT NULL DEFAULT '',
    traceparent              text,
    booking_id               uuid        NOT NULL CONSTRAINT waitlist_entries_booking_key UNIQUE,
    -- The last instant at which the slot can be booked, by the venue's notice when this was last computed.
    bookable_until           timestamptz NOT NULL,
    offered_at               timestamptz,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    FOREIGN KEY (venue_id, slot_date, start_time) REFERENCES slots,
    -- A customer can leave with or without an offer.
    CONSTRAINT waitlist_entry_offered CHECK (
        CASE status
            WHEN 'LEFT' THEN true
            ELSE (status IN ('OFFERED', 'ACCEPTED', 'LAPSED')) = (offered_at IS NOT NULL)
        END),
    CONSTRAINT waitlist_entry_details CHECK ((status = 'WAITING') = (details_sealed IS NOT NULL))
);

-- A customer has at most one entry for a slot that waits or has an open offer.
CREATE UNIQUE INDEX waitlist_entries_wait_once ON waitlist_entries (customer_id, venue_id, slot_date, start_time)
    WHERE status IN ('WAITING', 'OFFERED');
-- The queue of a slot in order, and the first entry of each party size in it. An offer needs one index lookup for each
-- open seat, independent of the length of the queue. On an empty table the planner could use either index for either
-- question, which is slow later. So each index and its queries have a condition that is always true (`queue_number >
-- 0`, `party_size > 0`), which selects the right index.
CREATE INDEX waitlist_entries_queue ON waitlist_entries (venue_id, slot_date, start_time, queue_number)
    WHERE status = 'WAITING' AND queue_number > 0;
CREATE INDEX waitlist_entries_next ON waitlist_entries (venue_id, slot_date, start_time, party_size, queue_number)
    WHERE status = 'WAITING' AND party_size > 0;
-- Entries whose slot can no longer be booked.
CREATE INDEX waitlist_entries_closing ON waitlist_entries (bookable_until) WHERE status = 'WAITING';
-- Entries that ended without an offer, for their removal.
CREATE INDEX waitlist_entries_ended ON waitlist_entries (updated_at) WHERE status IN ('LEFT', 'CLOSED') AND offered_at IS NULL;
-- ListWaitlist: in order of joining, one index for each filter.
CREATE INDEX waitlist_entries_venue ON waitlist_entries (venue_id, queue_number);
CREATE INDEX waitlist_entries_day ON waitlist_entries (venue_id, slot_date, queue_number);
CREATE INDEX waitlist_entries_customer ON waitlist_entries (customer_id, queue_number);
CREATE INDEX waitlist_entries_conversation ON waitlist_entries (conversation_id, queue_number) WHERE conversation_id <> '';

-- The queue position of a number: 1 is next, 1,000 means 1,000 or more. The slot's lock is held during the count, so
-- the count is bounded. The function is volatile and therefore has a snapshot of its own: it sees the customers who
-- joined while the caller waited for the slot's lock.
CREATE FUNCTION waitlist_position(venue_id uuid, slot_date date, start_time time, queue_number bigint) RETURNS integer
LANGUAGE sql VOLATILE
RETURN (
    SELECT 1 + count(*)
    FROM (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = $1 AND w.slot_date = $2 AND w.start_time = $3 AND w.status = 'WAITING'
          AND w.queue_number > 0 AND w.queue_number < $4
        LIMIT 999
    ) AS ahead
);

-- Notes that seats of a slot came free while customers wait for it. The waitlist worker offers these seats.
--
-- A statement that frees seats only adds a note of its own, so it never waits at this table. The worker claims notes
-- that are not locked. It removes a note only if its snapshot shows the note and no waiting party fits. Seats that the
-- snapshot does not show have a note that the snapshot does not show either, so that note stays.
--
-- A note is due at `next_attempt_at`. It is postponed if its slot is beyond the venue's horizon or an attempt has
-- failed, so that one slot does not delay the others. New notes are due immediately, by any clock.
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

-- Everything that frees seats changes the slot's row: a cancellation, an expired hold, a booking that moves or shrinks,
-- added seats, a reopened slot, a new schedule. This trigger notes the freed seats, so those statements need not know
-- the waitlist.
--
-- No opening is lost when a customer joins concurrently. JoinWaitlist locks the slot's row before it decides that the
-- slot is full. If it gets the lock first, it has committed before the row changes; this function is volatile, so its
-- own snapshot shows the entry. If the seats are freed first, JoinWaitlist sees them on the locked row and refuses,
-- because the slot can be booked.
CREATE FUNCTION note_waitlist_opening() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT NEW.venue_id, NEW.slot_date, NEW.start_time, clock_timestamp()
    WHERE EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = NEW.venue_id AND w.slot_date = NEW.slot_date AND w.start_time = NEW.start_time
          AND w.status = 'WAITING' AND w.queue_number > 0);
    RETURN NULL;
END
$$;

-- Taking seats does not fire this trigger: CreateBooking pays only for the comparison.
CREATE TRIGGER slots_opening AFTER UPDATE OF reserved, capacity, state ON slots
    FOR EACH ROW WHEN (
        NEW.state = 'OPEN' AND NEW.reserved < NEW.capacity
        AND (NEW.capacity - NEW.reserved > OLD.capacity - OLD.reserved OR OLD.state <> 'OPEN'))
    EXECUTE FUNCTION note_waitlist_opening();

-- After a change of its policy, a venue may accept parties that it refused when seats came free, and entries may have
-- to end earlier. The number of entries is not bounded, so UpdateVenue only notes that the venue's entries must be
-- reviewed. A worker reviews them in the order of slot and queue number; `after_...` is the last entry that it has
-- reviewed.
CREATE TABLE waitlist_reviews (
    review_id           bigint  PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    venue_id            uuid    NOT NULL,
    after_date          date    NOT NULL DEFAULT '-infinity',
    after_time          time    NOT NULL DEFAULT '00:00',
    after_queue_number  bigint  NOT NULL DEFAULT 0
);

CREATE FUNCTION note_waitlist_review() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO waitlist_reviews (venue_id)
    SELECT NEW.venue_id
    WHERE EXISTS (
        SELECT FROM waitlist_entries w WHERE w.venue_id = NEW.venue_id AND w.status = 'WAITING' AND w.queue_number > 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER venues_waitlist AFTER UPDATE OF min_party_size, max_party_size, notice_minutes, horizon_days ON venues
    FOR EACH ROW WHEN (
        (NEW.min_party_size, NEW.max_party_size, NEW.notice_minutes, NEW.horizon_days)
        <> (OLD.min_party_size, OLD.max_party_size, OLD.notice_minutes, OLD.horizon_days))
    EXECUTE FUNCTION note_waitlist_review();
