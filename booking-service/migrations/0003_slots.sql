-- A slot is (venue, local date, local time). `reserved` is the hot counter of the whole service:
-- the row has room for its next version on the same page and no index on what changes, so that a
-- booking is a heap-only update.
CREATE TABLE slots (
    venue_id                uuid        NOT NULL REFERENCES venues,
    slot_date               date        NOT NULL,
    start_time              time        NOT NULL,
    starts_at               timestamptz NOT NULL,
    ends_at                 timestamptz NOT NULL,
    capacity                integer     NOT NULL,
    reserved                integer     NOT NULL DEFAULT 0,
    price_per_person_cents  bigint      NOT NULL CONSTRAINT slot_price CHECK (price_per_person_cents BETWEEN 0 AND 1000000000),
    -- UNSCHEDULED: no longer in the weekly schedule. CLOSED: closed by the venue, whatever the schedule says.
    state                   text        NOT NULL DEFAULT 'OPEN' CONSTRAINT slot_state CHECK (state IN ('OPEN', 'CLOSED', 'UNSCHEDULED')),
    PRIMARY KEY (venue_id, slot_date, start_time),
    CONSTRAINT slot_not_oversold CHECK (reserved BETWEEN 0 AND capacity),
    CONSTRAINT slot_order CHECK (ends_at > starts_at)
) WITH (fillfactor = 50);
