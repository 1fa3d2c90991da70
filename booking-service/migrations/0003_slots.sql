-- A slot is (venue, local date, local time). `reserved` is the hot counter of the whole service:
-- the row has room for its next version on the same page, and no index on what changes, so that a
-- booking is a heap-only update.
CREATE TABLE slots (
    venue_id                uuid        NOT NULL REFERENCES venues,
    slot_date               date        NOT NULL,
    start_time              time        NOT NULL,
    starts_at               timestamptz NOT NULL,
    ends_at                 timestamptz NOT NULL,
    capacity                integer     NOT NULL,
    reserved                integer     NOT NULL DEFAULT 0,
    price_per_person_cents  bigint      NOT NULL CONSTRAINT slot_price CHECK (price_per_person_cents BETWEEN 0 AND 100000000),
    -- UNSCHEDULED: no longer in the weekly schedule. CLOSED: closed by the venue, whatever the schedule says.
    state                   text        NOT NULL DEFAULT 'OPEN' CONSTRAINT slot_state CHECK (state IN ('OPEN', 'CLOSED', 'UNSCHEDULED')),
    PRIMARY KEY (venue_id, slot_date, start_time),
    CONSTRAINT slot_not_oversold CHECK (reserved BETWEEN 0 AND capacity),
    CONSTRAINT slot_order CHECK (ends_at > starts_at)
) WITH (fillfactor = 50);

-- Why a party cannot book a slot at a moment, or NULL when it can: the one place where a venue's
-- policy stands. The order is the contract's; see `unavailable_reason`. PostgreSQL inlines it into
-- the statements that use it.
CREATE FUNCTION slot_refusal(venue venues, slot slots, slot_date date, party_size integer, moment timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
    -- Beyond the horizon none are laid out: that says more than that this one is missing.
    WHEN (slot).venue_id IS NULL
         AND slot_date > (moment AT TIME ZONE (venue).time_zone)::date + (venue).horizon_days THEN 'TOO_FAR_AHEAD'
    WHEN (slot).venue_id IS NULL THEN 'SLOT_NOT_FOUND'
    WHEN party_size < (venue).min_party_size THEN 'PARTY_TOO_SMALL'
    WHEN party_size > (venue).max_party_size THEN 'PARTY_TOO_LARGE'
    WHEN slot_date > (moment AT TIME ZONE (venue).time_zone)::date + (venue).horizon_days THEN 'TOO_FAR_AHEAD'
    WHEN (slot).starts_at < moment + make_interval(mins => (venue).notice_minutes) THEN 'INSUFFICIENT_NOTICE'
    WHEN (slot).state <> 'OPEN' THEN 'SLOT_CLOSED'
    WHEN (slot).reserved + party_size > (slot).capacity THEN 'SLOT_FULL'
END;
