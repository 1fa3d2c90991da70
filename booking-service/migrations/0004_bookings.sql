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
    -- What banks have taken of Stripe's charges and may still give back: the sum over the booking's payments.
    disputed_cents           bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_disputed CHECK (disputed_cents >= 0),
    -- Of a cancelled booking: what the venue keeps. Whatever is paid beyond it is owed, also when it comes later.
    kept_cents               bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_kept CHECK (kept_cents >= 0),
    currency                 text        NOT NULL,
    hold_expires_at          timestamptz,
    -- When the hold would run out but for a payment that Stripe still processes; NULL before there was one.
    unpaid_hold_expires_at   timestamptz,
    confirmed_at             timestamptz,
    cancelled_at             timestamptz,
    cancelled_by             text        CONSTRAINT booking_cancelled_by CHECK (cancelled_by IN ('CUSTOMER', 'VENUE')),
    conversation_id          text        NOT NULL DEFAULT '',
    special_requests_sealed  bytea,
    source                   text        NOT NULL DEFAULT '',
    -- The entry whose offer a booking is; NULL for all others, which pay nothing for it.
    waitlist_entry_id        uuid        REFERENCES waitlist_entries,
    version                  bigint      NOT NULL CONSTRAINT booking_version CHECK (version >= 1),
    event_hash               bytea       NOT NULL CONSTRAINT booking_hash_length CHECK (octet_length(event_hash) = 32),
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    FOREIGN KEY (venue_id, slot_date, start_time) REFERENCES slots,
    CONSTRAINT booking_total CHECK (total_cents = price_per_person_cents * party_size),
    CONSTRAINT booking_deposit CHECK (deposit_cents BETWEEN 0 AND total_cents),
    -- Nothing is owed that was not received, or that was given back.
    CONSTRAINT booking_refund_due CHECK (refund_due_cents BETWEEN 0 AND paid_cents),
    -- Exactly the bookings that wait for something hold their seats for a limited time.
    CONSTRAINT booking_hold CHECK ((status = 'PENDING') = (hold_expires_at IS NOT NULL)),
    CONSTRAINT booking_cancelled CHECK (
        (status = 'CANCELLED') = (cancelled_at IS NOT NULL) AND (cancelled_at IS NULL) = (cancelled_by IS NULL)),
    -- Whoever came, or was awaited, had a firm booking; whoever let the hold run out never had one.
    CONSTRAINT booking_confirmed CHECK (
        CASE status
            WHEN 'CANCELLED' THEN true
            ELSE (status IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW')) = (confirmed_at IS NOT NULL)
        END)
) WITH (fillfactor = 80);

-- ListBookings: by slot, then id, whatever narrows the list. None of these columns changes but when a
-- booking is moved, so that its other changes stay heap-only.
CREATE INDEX bookings_slot ON bookings (slot_date, start_time, booking_id);
CREATE INDEX bookings_venue_slot ON bookings (venue_id, slot_date, start_time, booking_id);
-- Most that belong to no conversation have nothing to be found by.
CREATE INDEX bookings_conversation_slot ON bookings (conversation_id, slot_date, start_time, booking_id)
    WHERE conversation_id <> '';
-- Also what counts a customer's bookings, and what the foreign key looks for.
CREATE INDEX bookings_customer_slot ON bookings (customer_id, slot_date, start_time, booking_id);
-- Holds by when they run out, for the worker that frees their seats. Its condition does not name the status:
-- the columns of an index's condition keep an update from being heap-only as its own columns do, and with the
-- status every change of a booking would write all its index entries anew. By `booking_hold` these are the
-- same rows, and only what begins or ends to wait for something pays for it.
CREATE INDEX bookings_hold ON bookings (hold_expires_at) WHERE hold_expires_at IS NOT NULL;

-- Whoever takes seats of a slot no longer waits for it: by a new booking, one that is moved there, or one whose
-- seats are taken again. Like every trigger, it runs at a statement's end: entries are locked after bookings,
-- slots and customers. It is volatile, so that it sees who joined while the slot's lock was waited for.
CREATE FUNCTION leave_queue_of_booked_slot() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE waitlist_entries
    SET status = 'LEFT', special_requests_sealed = NULL, updated_at = NEW.updated_at
    WHERE customer_id = NEW.customer_id AND venue_id = NEW.venue_id
      AND slot_date = NEW.slot_date AND start_time = NEW.start_time
      -- who waits, in the words of waitlist_entries_wait_once: no index of the waiting alone fits
      AND status IN ('WAITING', 'OFFERED') AND offered_at IS NULL;
    RETURN NULL;
END
$$;

-- An offer comes from the queue, and its customer is not in it any more.
CREATE TRIGGER bookings_leave_queue AFTER INSERT ON bookings
    FOR EACH ROW WHEN (NEW.waitlist_entry_id IS NULL)
    EXECUTE FUNCTION leave_queue_of_booked_slot();

CREATE TRIGGER bookings_leave_other_queue AFTER UPDATE OF status, slot_date, start_time ON bookings
    FOR EACH ROW WHEN (
        NEW.status IN ('PENDING', 'CONFIRMED')
        AND (OLD.status NOT IN ('PENDING', 'CONFIRMED')
             OR (NEW.slot_date, NEW.start_time) <> (OLD.slot_date, OLD.start_time)))
    EXECUTE FUNCTION leave_queue_of_booked_slot();

-- An entry goes with its booking, whoever changes that and for whatever reason: confirmed by a call or by a
-- payment, also by one that comes after the offer lapsed; expired; cancelled by either side; moved to another
-- slot while the offer stands. An offer that was taken stays taken.
--
-- Triggers run in the order of their names: before an entry comes to another slot, its customer has left the
-- queue there (bookings_leave_other_queue). Another offer of that slot to the same customer stands in the way,
-- by waitlist_entries_wait_once.
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

-- What a call with this key led to. The fingerprint is a keyed hash of the request: the request
-- itself is not kept.
CREATE TABLE idempotency_keys (
    method       text        NOT NULL,
    key          text        NOT NULL CONSTRAINT idempotency_key_form CHECK (key ~ '^[ -~]{1,255}$'),
    fingerprint  bytea       NOT NULL CONSTRAINT idempotency_fingerprint_length CHECK (octet_length(fingerprint) = 32),
    resource_id  uuid        NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (method, key)
);
-- Keys by age, for the worker that removes the old ones.
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
