-- Events that Stripe sent, each once: the ids and figures that matter, never the payload, which holds
-- personal data. An event waits until it has been applied, was of no concern, or is set aside with a reason.
--
-- Whoever claims an event moves `next_attempt_at` to the end of its lease: it comes back by itself when
-- nobody tells what became of it. What became of it is accepted only from the last who claimed it.
CREATE TABLE stripe_events (
    event_id         text        PRIMARY KEY CONSTRAINT stripe_event_id_length CHECK (char_length(event_id) BETWEEN 1 AND 255),
    type             text        NOT NULL CONSTRAINT stripe_event_type_length CHECK (char_length(type) BETWEEN 1 AND 255),
    created_at       timestamptz NOT NULL,
    received_at      timestamptz NOT NULL,
    -- What it tells of a payment; NULL when that is nothing.
    effect           text        CONSTRAINT stripe_event_effect
                                 CHECK (effect IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'REFUNDED', 'DISPUTED')),
    booking_id       uuid,
    payment_intent   text,
    charge_id        text,
    amount_cents     bigint,
    refunded_cents   bigint,
    currency         text,
    state            text        NOT NULL CONSTRAINT stripe_event_state CHECK (state IN ('WAITING', 'DONE', 'SET_ASIDE')),
    -- Why it still waits or is set aside; IGNORED when it tells nothing of a payment, UNRELATED when it is
    -- about somebody else's; empty when it was applied.
    reason           text        NOT NULL DEFAULT '',
    attempts         integer     NOT NULL DEFAULT 0 CONSTRAINT stripe_event_attempts CHECK (attempts >= 0),
    next_attempt_at  timestamptz NOT NULL,
    settled_at       timestamptz,
    CONSTRAINT stripe_event_waits_for_something CHECK (state <> 'WAITING' OR effect IS NOT NULL),
    CONSTRAINT stripe_event_settled CHECK ((state = 'WAITING') = (settled_at IS NULL))
) WITH (fillfactor = 80);

-- What is due, the longest due first.
CREATE INDEX stripe_events_due ON stripe_events (next_attempt_at, event_id) WHERE state = 'WAITING';
-- What an operator has to look at, however old; and what is old enough to go.
CREATE INDEX stripe_events_set_aside ON stripe_events (settled_at, event_id) WHERE state = 'SET_ASIDE';
CREATE INDEX stripe_events_done ON stripe_events (settled_at) WHERE state = 'DONE';
