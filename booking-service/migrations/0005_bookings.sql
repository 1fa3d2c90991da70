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
    deposit_due_cents        bigint      NOT NULL,
    paid_cents               bigint      NOT NULL DEFAULT 0 CONSTRAINT booking_paid CHECK (paid_cents >= 0),
    currency                 text        NOT NULL,
    hold_expires_at          timestamptz,
    confirmed_at             timestamptz,
    conversation_id          text        NOT NULL DEFAULT '',
    special_requests_sealed  bytea,
    source                   text        NOT NULL DEFAULT '',
    version                  bigint      NOT NULL,
    event_hash               bytea       NOT NULL CONSTRAINT booking_hash_length CHECK (octet_length(event_hash) = 32),
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    FOREIGN KEY (venue_id, slot_date, start_time) REFERENCES slots,
    CONSTRAINT booking_total CHECK (total_cents = price_per_person_cents * party_size),
    CONSTRAINT booking_deposit CHECK (deposit_due_cents BETWEEN 0 AND total_cents),
    -- Exactly the bookings that wait for something hold their seats for a limited time.
    CONSTRAINT booking_hold CHECK ((status = 'PENDING') = (hold_expires_at IS NOT NULL))
) WITH (fillfactor = 80);

-- A customer's bookings: counted for GetCustomer, and what the foreign key looks for.
CREATE INDEX bookings_customer ON bookings (customer_id);
