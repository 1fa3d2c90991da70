-- What a booking keeps of its cancellation and of what is to be given back.
ALTER TABLE bookings
    ADD COLUMN refunded_cents    bigint NOT NULL DEFAULT 0,
    ADD COLUMN refund_due_cents  bigint NOT NULL DEFAULT 0,
    ADD COLUMN cancelled_at      timestamptz,
    ADD COLUMN cancelled_by      text,
    ADD CONSTRAINT booking_refunded CHECK (refunded_cents >= 0),
    -- Nothing is owed that was not received, or that was given back.
    ADD CONSTRAINT booking_refund_due CHECK (refund_due_cents BETWEEN 0 AND paid_cents),
    ADD CONSTRAINT booking_cancelled_by CHECK (cancelled_by IN ('CUSTOMER', 'VENUE')),
    ADD CONSTRAINT booking_cancelled CHECK (
        (status = 'CANCELLED') = (cancelled_at IS NOT NULL) AND (cancelled_at IS NULL) = (cancelled_by IS NULL)),
    -- Whoever came, or was awaited, had a firm booking; whoever let the hold run out never had one.
    ADD CONSTRAINT booking_confirmed CHECK (
        CASE status
            WHEN 'CANCELLED' THEN true
            ELSE (status IN ('CONFIRMED', 'COMPLETED', 'NO_SHOW')) = (confirmed_at IS NOT NULL)
        END),
    ADD CONSTRAINT booking_version CHECK (version >= 1);
