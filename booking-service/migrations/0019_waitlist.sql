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

-- The entry whose offer a booking is; NULL for all others, which pay nothing for it.
ALTER TABLE bookings ADD COLUMN waitlist_entry_id uuid REFERENCES waitlist_entries;

-- An entry goes with its booking, whoever changes that and for whatever reason: confirmed by a call or by a
-- payment, also by one that comes after the offer lapsed; expired; cancelled by either side. An offer that was
-- taken stays taken. Entries are locked after bookings, slots and customers: this runs at a statement's end.
CREATE FUNCTION follow_offered_booking() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE waitlist_entries
    SET status = CASE NEW.status WHEN 'CONFIRMED' THEN 'ACCEPTED' WHEN 'EXPIRED' THEN 'LAPSED' ELSE 'LEFT' END,
        updated_at = NEW.updated_at
    WHERE waitlist_entry_id = NEW.waitlist_entry_id AND status <> 'ACCEPTED';
    RETURN NULL;
END
$$;

CREATE TRIGGER bookings_offer AFTER UPDATE OF status ON bookings
    FOR EACH ROW WHEN (
        NEW.waitlist_entry_id IS NOT NULL AND NEW.status <> OLD.status AND NEW.status IN ('CONFIRMED', 'EXPIRED', 'CANCELLED'))
    EXECUTE FUNCTION follow_offered_booking();
