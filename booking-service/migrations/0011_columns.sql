-- The new columns of tables that are in use, all in one transaction.
--
-- Statements of version 0.1.0 return whole rows of these tables. PostgreSQL refuses to run such a statement again on a
-- connection that prepared it before a column was added. So the connections of running replicas are closed at the end,
-- while this transaction still has the tables: a replica runs its statement again on a new connection, which waits until
-- the columns are there. Later versions do this by themselves.

-- The area in which a booking sits, and until when it takes the area's seats. NULL: it was made for a venue without a
-- floor. If the venue has one now, its seats are counted in the first area until its end.
ALTER TABLE bookings
    ADD COLUMN area text COLLATE "C",
    ADD COLUMN occupied_until timestamptz,
    -- The keys of its tables; NULL: none, because its area had none, or because it had no tables when it was booked.
    ADD COLUMN tables text[],
    ADD CONSTRAINT booking_tables CHECK (tables IS NULL OR area IS NOT NULL AND tables <> '{}') NOT VALID,
    -- Not validated: that would read the whole table, whose rows all have NULL here.
    ADD CONSTRAINT booking_area CHECK (area ~ '^[a-z0-9]' AND area !~ '[^a-z0-9-]') NOT VALID,
    ADD CONSTRAINT booking_occupied_until CHECK ((area IS NULL) = (occupied_until IS NULL)) NOT VALID;

-- The terms under which a booking was made, and what its changes have kept.
--
-- The terms are values, not a reference to a version of the venue's policy: a booking's row and its first event then say
-- all that a refund depends on, and nothing must be looked up to fold the events again.
--
-- NULL in each column: the version before wrote the row. Then the venue's current policy holds, and nothing was kept.
ALTER TABLE bookings
    ADD COLUMN terms jsonb,
    -- What the venue keeps of money that late changes freed; NULL: nothing.
    ADD COLUMN retained_cents bigint,
    -- The largest price that was paid for when the customer changed the booking late; NULL: it was not changed late. What
    -- the venue keeps is a part of it.
    ADD COLUMN refund_base_cents bigint,
    -- The largest part of the paid amount that a cancellation by the customer gives back, in percent, since the booking
    -- was changed late; NULL: as the terms say.
    ADD COLUMN refund_percent_max integer,
    -- The part of the paid amount that is for tips and extras beyond the price, and is never owed; NULL: nothing.
    ADD COLUMN extras_cents bigint,
    -- Not validated: that would read the whole table, whose rows all have NULL here.
    ADD CONSTRAINT booking_terms CHECK (jsonb_typeof(terms) = 'object') NOT VALID,
    ADD CONSTRAINT booking_retained CHECK (retained_cents > 0) NOT VALID,
    ADD CONSTRAINT booking_refund_base CHECK (refund_base_cents >= retained_cents) NOT VALID,
    ADD CONSTRAINT booking_extras CHECK (extras_cents > 0 AND extras_cents <= paid_cents) NOT VALID,
    ADD CONSTRAINT booking_refund_percent_max CHECK (refund_percent_max BETWEEN 0 AND 99) NOT VALID;

-- A customer who was made by a walk-in without a contact. Each walk-in has a customer of its own, which no contact
-- finds: so walk-ins are not one guest, and erasure, export, retention and merging work as for everybody else.
ALTER TABLE customers ADD COLUMN is_anonymous boolean NOT NULL DEFAULT false;

-- As before, but an anonymous customer needs neither an e-mail address nor a number. Not validated: the constraint that
-- it replaces was narrower.
ALTER TABLE customers DROP CONSTRAINT customer_erased_wholly;
ALTER TABLE customers ADD CONSTRAINT customer_erased_wholly CHECK (
    CASE WHEN erased_at IS NOT NULL THEN num_nonnulls(email_hash, phone_hash, contact_sealed) = 0
         WHEN merged_into IS NOT NULL THEN contact_sealed IS NOT NULL
         ELSE contact_sealed IS NOT NULL AND (is_anonymous OR num_nonnulls(email_hash, phone_hash) > 0)
    END) NOT VALID;

-- When the party was seated; NULL if it was not. The version before leaves it as it is.
ALTER TABLE bookings
    ADD COLUMN seated_at timestamptz,
    ADD CONSTRAINT booking_seated CHECK (seated_at IS NULL OR confirmed_at IS NOT NULL) NOT VALID;

-- Whether the payment is for tips and extras; NULL: no.
ALTER TABLE payments ADD COLUMN is_extra boolean;

-- An entry can wait for every start of a part of a day: from `from_time` to `until_time`, both included, in one of
-- `areas` (NULL: any). NULL: it waits for `start_time` only, as all entries of the version before. While an entry
-- with a window waits, `start_time` is the first slot of the window; an offer sets it to the slot that it offers.
ALTER TABLE waitlist_entries
    ADD COLUMN from_time time,
    ADD COLUMN until_time time,
    ADD COLUMN areas text[],
    ADD CONSTRAINT waitlist_entry_window CHECK (
        (from_time IS NULL) = (until_time IS NULL) AND (until_time IS NULL OR until_time >= from_time)
        AND (areas IS NULL OR until_time IS NOT NULL AND cardinality(areas) BETWEEN 1 AND 20)) NOT VALID;

-- Whether the venue has a floor. SetFloor locks all upcoming slots, and marks them when the venue gets or loses its
-- floor, before it counts their bookings. So a booking either is counted by it or sees another mark on the slot that it
-- has locked than its snapshot shows. Slots that are laid out later are not marked. A snapshot that shows one of them
-- also shows the floor of the venue, because both lock the venue.
ALTER TABLE venues ADD COLUMN has_floor boolean NOT NULL DEFAULT false;
ALTER TABLE slots ADD COLUMN has_floor boolean NOT NULL DEFAULT false;

-- For how long a venue can take back a cancellation, a completion or a no-show.
ALTER TABLE venues
    ADD COLUMN undo_minutes integer NOT NULL DEFAULT 60
        CONSTRAINT venue_undo_range CHECK (undo_minutes BETWEEN 0 AND 43200);

-- What venues are found by.
ALTER TABLE venues
    ADD COLUMN tags  text[] NOT NULL DEFAULT '{}',
    -- A city or another place, as text; empty if none is given.
    ADD COLUMN place text   NOT NULL DEFAULT '';

ALTER TABLE venues
    ADD CONSTRAINT venue_tags_count CHECK (cardinality(tags) <= 20) NOT VALID,
    ADD CONSTRAINT venue_place_length CHECK (char_length(place) <= 100) NOT VALID;

-- How long before a booking begins its guest is reminded, the longest first. Empty: never, as for the venues of the
-- version before, whose guests were not reminded either. CreateVenue sets its own default.
ALTER TABLE venues ADD COLUMN reminder_minutes integer[] NOT NULL DEFAULT '{}'
    CONSTRAINT venue_reminder_minutes CHECK (
        cardinality(reminder_minutes) <= 5 AND array_position(reminder_minutes, NULL) IS NULL
        AND 1 <= ALL (reminder_minutes) AND 20160 >= ALL (reminder_minutes));

-- When the guest said that the party comes. A move to another time clears it.
ALTER TABLE bookings ADD COLUMN guest_confirmed_at timestamptz;

-- Special days of a venue, in the order in which they were set.
--
-- They are a column of the schedule, because whatever lays out slots needs the schedule and the special days of one
-- moment. A worker that claims a schedule reads its latest committed version; rows of another table would be those of
-- its older snapshot.
ALTER TABLE weekly_schedules
    ADD COLUMN special_days jsonb NOT NULL DEFAULT '[]';

ALTER TABLE weekly_schedules
    ADD CONSTRAINT weekly_schedule_special_days
        CHECK (jsonb_typeof(special_days) = 'array' AND jsonb_array_length(special_days) <= 500) NOT VALID;

-- A replica that waits for this migration keeps its connection, and a new database has no other connections to close.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM bookings);
