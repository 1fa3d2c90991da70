CREATE TABLE bookings (
    booking_id               uuid        PRIMARY KEY,
    confirmation_code        text        NOT NULL CONSTRAINT bookings_confirmation_code_key UNIQUE,
    status                   text        NOT NULL CONSTRAINT booking_status
                                         CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'EXPIRED', 'COMPLETED', 'NO_SHOW')),
    venue_id                 uuid        NOT NULL,
    slot_date                date        NOT NULL,
    start_time               time        NOT NULL,
    starts_at                timestamptz NOT NULL,
    ends_at                  timestamptz NOT NULL,
    customer_id              uuid        NOT NULL REFERENCES customers,
    party_size               integer     NOT NULL CONSTRAINT booking_party_size CHECK (party_size BETWEEN 1 AND 50),
    price_per_person_cents   bigint      NOT NULL,
    total_cents              bigint      NOT NULL,
    deposit_cents            bigint      NOT NULL,
    paid_cents               bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_paid CHECK (paid_cents >= 0),
    refunded_cents           bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_refunded CHECK (refunded_cents >= 0),
    refund_due_cents         bigint      NOT NULL DEFAULT 0,
    -- What banks have taken back from Stripe's charges and may still return: the sum over the booking's payments.
    disputed_cents           bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_disputed CHECK (disputed_cents >= 0),
    -- For a cancelled booking: what the venue keeps. Everything paid beyond it is owed, also if it is paid later.
    kept_cents               bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_kept CHECK (kept_cents >= 0),
    currency                 text        NOT NULL,
    hold_expires_at          timestamptz,
    -- When the hold would expire without the payment that Stripe is processing; NULL if there was no such payment.
    unpaid_hold_expires_at   timestamptz,
    confirmed_at             timestamptz,
    cancelled_at             timestamptz,
    cancelled_by             text        CONSTRAINT booking_cancelled_by CHECK (cancelled_by IN ('CUSTOMER', 'VENUE')),
    conversation_id          text        NOT NULL DEFAULT '',
    -- The contact and the special requests, sealed as one value. NULL after erasure.
    details_sealed           bytea,
    -- When the personal data was erased.
    erased_at                timestamptz,
    source                   text        NOT NULL DEFAULT '',
    -- The waitlist entry whose offer this booking is; NULL for all other bookings.
    waitlist_entry_id        uuid        REFERENCES waitlist_entries,
    version                  bigint      NOT NULL CONSTRAINT booking_version CHECK (version >= 1),
    event_hash               bytea       NOT NULL CONSTRAINT booking_hash_length CHECK (octet_length(event_hash) = 32),
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    FOREIGN KEY (venue_id, slot_date, start_time) REFERENCES slots,
    CONSTRAINT booking_details CHECK ((details_sealed IS NULL) = (erased_at IS NOT NULL)),
    CONSTRAINT booking_total CHECK (total_cents = price_per_person_cents * party_size),
    CONSTRAINT booking_deposit CHECK (deposit_cents BETWEEN 0 AND total_cents),
    -- The venue owes at most what it received and has not refunded.
    CONSTRAINT booking_refund_due CHECK (refund_due_cents BETWEEN 0 AND paid_cents),
    -- Exactly the pending bookings hold their seats for a limited time.
    CONSTRAINT booking_hold CHECK ((status = 'PENDING') = (hold_expires_at IS NOT NULL)),
    CONSTRAINT booking_cancelled CHECK (
        (status = 'CANCELLED') = (cancelled_at IS NOT NULL) AND (cancelled_at IS NULL) = (cancelled_by IS NULL)),
    -- A completed or no-show booking was confirmed; a pending or expired booking was not.
    CONSTRAINT booking_confirmed CHECK (
        CASE status
            WHEN 'CANCELLED' THEN true
            ELSE (status IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW')) = (confirmed_at IS NOT NULL)
        END)
) WITH (fillfactor = 80);

-- ListBookings: in the order of slot and id, one index for each filter. These columns change only when a booking is
-- moved, so other changes of a booking are heap-only.
CREATE INDEX bookings_slot ON bookings (slot_date, start_time, booking_id);
CREATE INDEX bookings_venue_slot ON bookings (venue_id, slot_date, start_time, booking_id);
-- Most bookings without a conversation have the value '', so an index entry would not help to find them.
CREATE INDEX bookings_conversation_slot ON bookings (conversation_id, slot_date, start_time, booking_id)
    WHERE conversation_id <> '';
-- This index also serves the count of a customer's bookings and the check of the foreign key.
CREATE INDEX bookings_customer_slot ON bookings (customer_id, slot_date, start_time, booking_id);
-- Holds in the order of their expiry, for the worker that frees their seats. The condition does not use the status. An
-- update that changes a column of an index's condition is not heap-only, so with the status most changes of a booking
-- would rewrite all its index entries. By `booking_hold`, this condition selects the same rows.
CREATE INDEX bookings_hold ON bookings (hold_expires_at, booking_id) WHERE hold_expires_at IS NOT NULL;

-- A customer who takes seats of a slot leaves its queue: by a new booking, by a booking that is moved there, or by a
-- booking whose seats are taken again. Like every trigger, it runs at the end of a statement, so entries are locked
-- after bookings, slots and customers. It is volatile, so that it sees entries that were added during the wait for the
-- slot's lock.
CREATE FUNCTION leave_queue_of_booked_slot() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE waitlist_entries
    SET status = 'LEFT', details_sealed = NULL, updated_at = NEW.updated_at
    WHERE customer_id = NEW.customer_id AND venue_id = NEW.venue_id
      AND slot_date = NEW.slot_date AND start_time = NEW.start_time
      -- selects WAITING; written so that the index waitlist_entries_wait_once can be used
      AND status IN ('WAITING', 'OFFERED') AND offered_at IS NULL;
    RETURN NULL;
END
$$;

-- The same for all new bookings of a statement. Not for offers: their entries are no longer waiting. Each entry is
-- looked up by its key: the plan is made once in a session, perhaps while the table is small, and a join could read all
-- of it. For the same reason the condition at the end is written so that no partial index seems to fit it.
CREATE FUNCTION leave_queues_of_new_bookings() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE waitlist_entries w
    SET status = 'LEFT', details_sealed = NULL, updated_at = (SELECT max(a.updated_at) FROM added a)
    WHERE w.waitlist_entry_id = ANY (ARRAY(
            SELECT e.waitlist_entry_id
            FROM added a
            CROSS JOIN LATERAL (
                SELECT e.waitlist_entry_id
                FROM waitlist_entries e
                WHERE e.customer_id = a.customer_id AND e.venue_id = a.venue_id
                  AND e.slot_date = a.slot_date AND e.start_time = a.start_time
                  AND e.status IN ('WAITING', 'OFFERED') AND e.offered_at IS NULL
                LIMIT 1
            ) AS e
            WHERE a.waitlist_entry_id IS NULL))
      AND CASE WHEN w.offered_at IS NULL THEN w.status IN ('WAITING', 'OFFERED') ELSE false END;
    RETURN NULL;
END
$$;

CREATE TRIGGER bookings_leave_queue AFTER INSERT ON bookings REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION leave_queues_of_new_bookings();

CREATE TRIGGER bookings_leave_other_queue AFTER UPDATE OF status, slot_date, start_time ON bookings
    FOR EACH ROW WHEN (
        NEW.status IN ('PENDING', 'CONFIRMED')
        AND (OLD.status NOT IN ('PENDING', 'CONFIRMED')
             OR (NEW.slot_date, NEW.start_time) <> (OLD.slot_date, OLD.start_time)))
    EXECUTE FUNCTION leave_queue_of_booked_slot();

-- An entry follows the booking of its offer, for every kind of change: confirmed by a call or by a payment, also by a
-- payment after the offer lapsed; expired; cancelled by either side; moved to another slot while the offer is open. An
-- accepted entry does not change again.
--
-- Triggers run in the order of their names: before an entry moves to another slot, its customer has left the queue of
-- that slot (bookings_leave_other_queue). If the customer has an open offer for that slot, waitlist_entries_wait_once
-- refuses the move.
CREATE FUNCTION follow_offered_booking() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE waitlist_entries
    SET status = CASE NEW.status WHEN 'CONFIRMED' THEN 'ACCEPTED' WHEN 'EXPIRED' THEN 'LAPSED'
                                 WHEN 'CANCELLED' THEN 'LEFT' ELSE status
                 END,
        slot_date = NEW.slot_date,
        start_time = NEW.start_time,
        updated_at = NEW.updated_at
    WHERE waitlist_entry_id = NEW.waitlist_entry_id AND status <> 'ACCEPTED';
    RETURN NULL;
END
$$;

CREATE TRIGGER bookings_offer AFTER UPDATE OF status, slot_date, start_time ON bookings
    FOR EACH ROW WHEN (
        NEW.waitlist_entry_id IS NOT NULL
        AND (NEW.status <> OLD.status AND NEW.status IN ('CONFIRMED', 'EXPIRED', 'CANCELLED')
             OR (NEW.slot_date, NEW.start_time) <> (OLD.slot_date, OLD.start_time)))
    EXECUTE FUNCTION follow_offered_booking();

-- Idempotency keys, each with the resource that its call created. The fingerprint is a keyed hash of the request; the
-- request itself is not kept.
CREATE TABLE idempotency_keys (
    method       text        NOT NULL,
    key          text        NOT NULL CONSTRAINT idempotency_key_form CHECK (octet_length(key) BETWEEN 1 AND 255 AND key !~ '[^ -~]'),
    fingerprint  bytea       NOT NULL CONSTRAINT idempotency_fingerprint_length CHECK (octet_length(fingerprint) = 32),
    resource_id  uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (method, key)
);
-- For the worker that removes old keys.
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
