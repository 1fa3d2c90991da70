-- Movements of money, one row each. The paid amount of a booking is the sum of its succeeded and disputed charges,
-- minus their disputed amounts, minus its succeeded refunds. A statement that changes a row here also changes
-- `bookings.paid_cents`, under the booking's lock.
CREATE TABLE payments (
    payment_id          uuid        PRIMARY KEY,
    booking_id          uuid        NOT NULL REFERENCES bookings,
    kind                text        NOT NULL CONSTRAINT payment_kind CHECK (kind IN ('CHARGE', 'REFUND')),
    method              text        NOT NULL CONSTRAINT payment_method
                                    CHECK (method IN ('STRIPE', 'CASH', 'CARD_TERMINAL', 'BANK_TRANSFER', 'VOUCHER', 'OTHER')),
    status              text        NOT NULL CONSTRAINT payment_status
                                    CHECK (status IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'DISPUTED', 'PROCESSING')),
    amount_cents        bigint      NOT NULL CONSTRAINT payment_amount CHECK (amount_cents > 0),
    currency            text        NOT NULL,
    -- For Stripe: the payment intent, or the charge if there is no intent.
    external_reference  text        NOT NULL DEFAULT '' CONSTRAINT payment_reference_length
                                    CHECK (char_length(external_reference) <= 255),
    -- For Stripe's charges: the id of the charge, as soon as it is known.
    charge_id           text        CONSTRAINT payment_charge_length CHECK (char_length(charge_id) <= 255),
    -- For Stripe's charges: everything that Stripe reported about it, as `ChargeFacts` in src/domain/stripe_charge.rs
    -- reads it, and the number of its changes. A writer states the revision that it read.
    facts               jsonb,
    revision            bigint      NOT NULL DEFAULT 1,
    -- For Stripe's charges: the refunded amount, which is the sum of the succeeded refunds of this charge, and the part
    -- of the rest that banks took back.
    refunded_cents      bigint      NOT NULL DEFAULT 0 CONSTRAINT payment_refunded CHECK (refunded_cents BETWEEN 0 AND amount_cents),
    disputed_cents      bigint      NOT NULL DEFAULT 0 CONSTRAINT payment_disputed CHECK (disputed_cents BETWEEN 0 AND amount_cents - refunded_cents),
    -- For a payment that Stripe is processing: until when it extends the booking's hold.
    hold_until          timestamptz,
    -- For Stripe's refunds: the refunded charge.
    refund_of           uuid        REFERENCES payments,
    occurred_at         timestamptz NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    CONSTRAINT payment_refund_of CHECK (refund_of IS NULL OR kind = 'REFUND'),
    CONSTRAINT payment_disputed_status CHECK ((status = 'DISPUTED') = (disputed_cents > 0))
) WITH (fillfactor = 90);

-- One row for each payment intent, for any number and order of Stripe's reports about it.
CREATE UNIQUE INDEX payments_stripe_intent ON payments (external_reference) WHERE method = 'STRIPE' AND kind = 'CHARGE';
CREATE UNIQUE INDEX payments_stripe_charge ON payments (charge_id) WHERE charge_id IS NOT NULL;
CREATE INDEX payments_refund_of ON payments (refund_of) WHERE refund_of IS NOT NULL;

-- ListPayments: in the order of recording, all payments or the payments of one booking.
CREATE INDEX payments_created ON payments (created_at, payment_id);
CREATE INDEX payments_booking_created ON payments (booking_id, created_at, payment_id);

-- Events that Stripe sent, each once: the ids and amounts that the service needs, never the payload, which holds
-- personal data. An event is WAITING, then DONE when it was applied or is irrelevant, or SET_ASIDE when it is a dead
-- letter.
--
-- A claim moves `next_attempt_at` to the end of its lease, so an event whose worker died becomes due again. A result is
-- accepted only from the latest claim.
CREATE TABLE stripe_events (
    event_id         text        PRIMARY KEY CONSTRAINT stripe_event_id_length CHECK (char_length(event_id) BETWEEN 1 AND 255),
    type             text        NOT NULL CONSTRAINT stripe_event_type_length CHECK (char_length(type) BETWEEN 1 AND 255),
    created_at       timestamptz NOT NULL,
    received_at      timestamptz NOT NULL,
    -- What it reports about a payment; NULL when it reports nothing about one.
    effect           text        CONSTRAINT stripe_event_effect
                                 CHECK (effect IN ('PROCESSING', 'FAILED', 'CANCELLED', 'SUCCEEDED', 'REFUNDED', 'REFUND_MADE',
                                                   'REFUND_FAILED', 'DISPUTED', 'DISPUTE_REINSTATED', 'DISPUTE_LOST')),
    booking_id       uuid,
    payment_intent   text,
    charge_id        text,
    -- The refund or the dispute that it is about.
    object_id        text,
    -- In minor units of ISO 4217, which can differ from Stripe's units.
    amount_cents     bigint,
    refunded_cents   bigint,
    currency         text,
    state            text        NOT NULL CONSTRAINT stripe_event_state CHECK (state IN ('WAITING', 'DONE', 'SET_ASIDE')),
    -- Why it still waits or is a dead letter; IGNORED when it reports nothing about a payment; UNRELATED,
    -- LIVEMODE_MISMATCH or ACCOUNT_MISMATCH when it is about a payment of another system; DISCARDED when an operator
    -- discarded the dead letter; empty when it was applied.
    reason           text        NOT NULL DEFAULT '',
    attempts         integer     NOT NULL DEFAULT 0 CONSTRAINT stripe_event_attempts CHECK (attempts >= 0),
    next_attempt_at  timestamptz NOT NULL,
    lease_expires_at timestamptz,
    settled_at       timestamptz,
    dead_letter_id   uuid,
    CONSTRAINT stripe_event_lease CHECK (lease_expires_at IS NULL OR (state = 'WAITING' AND lease_expires_at = next_attempt_at)),
    CONSTRAINT stripe_event_dead CHECK ((state = 'SET_ASIDE') = (dead_letter_id IS NOT NULL)),
    CONSTRAINT stripe_event_waits_for_something CHECK (state <> 'WAITING' OR effect IS NOT NULL),
    CONSTRAINT stripe_event_settled CHECK ((state = 'WAITING') = (settled_at IS NULL))
) WITH (fillfactor = 80);

-- Due events, the longest due first.
CREATE INDEX stripe_events_due ON stripe_events (next_attempt_at, event_id) WHERE state = 'WAITING';
-- Dead letters, in the order in which they became dead letters, and by id.
CREATE INDEX stripe_events_dead ON stripe_events (settled_at, dead_letter_id) WHERE state = 'SET_ASIDE';
CREATE UNIQUE INDEX stripe_events_dead_letter ON stripe_events (dead_letter_id) WHERE state = 'SET_ASIDE';
-- Applied and irrelevant events by age, for their removal.
CREATE INDEX stripe_events_done ON stripe_events (settled_at) WHERE state = 'DONE';

-- Every dead letter of this service: messages that could not be delivered, and Stripe events that could not be applied.
CREATE VIEW dead_letters AS
SELECT m.dead_letter_id, m.event_id::text AS event_id,
       (SELECT e.type FROM outbox_events AS e WHERE e.event_id = m.event_id) AS event_type, m.destination,
       m.aggregate_id, m.attempts, m.last_error_reason, m.created_at, m.dead_at, m.traceparent
FROM outbox_messages AS m
WHERE m.dead_at IS NOT NULL
UNION ALL
SELECT dead_letter_id, event_id, type, 'stripe', COALESCE(booking_id::text, '') COLLATE "C", attempts, reason,
       created_at, settled_at, NULL
FROM stripe_events
WHERE state = 'SET_ASIDE';
