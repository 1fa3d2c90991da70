-- What a venue is and when it can be booked: its policies, its weekly schedule, its slots.

CREATE TABLE venues (
    venue_id               uuid        PRIMARY KEY,
    name                   text        NOT NULL CONSTRAINT venue_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    -- An IANA name. What its clock shows only the services say, by the rules in force in them: PostgreSQL has
    -- rules of its own, of another age, and is never asked.
    time_zone              text        NOT NULL CONSTRAINT venue_time_zone_length CHECK (char_length(time_zone) BETWEEN 1 AND 100),
    -- What that clock shows: seconds ahead of UTC until it is changed next, and from then on. Renewed as soon as
    -- it was changed, long before it is changed again.
    utc_offset_seconds       integer   NOT NULL,
    clock_changes_at         timestamptz,
    next_utc_offset_seconds  integer   NOT NULL,
    -- The releases of the rules by which the slots ahead stand: the oldest and the newest that any of them was laid
    -- out by. A process with rules that are as new as the newest goes through all that are behind its own.
    time_zone_rules          text      COLLATE "C" NOT NULL CONSTRAINT venue_time_zone_rules
                                       CHECK (time_zone_rules ~ '^[0-9]{4}[a-z]{1,2}$'),
    time_zone_rules_newest   text      COLLATE "C" NOT NULL CONSTRAINT venue_time_zone_rules_newest
                                       CHECK (time_zone_rules_newest >= time_zone_rules),
    currency               text        NOT NULL CONSTRAINT venue_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    -- The country whose telephone numbers are written here without +, by its code of ISO 3166.
    phone_region           text        NOT NULL CONSTRAINT venue_phone_region_code CHECK (phone_region ~ '^[A-Z]{2}$'),
    min_party_size         integer     NOT NULL,
    max_party_size         integer     NOT NULL,
    notice_minutes         integer     NOT NULL CONSTRAINT venue_notice_range CHECK (notice_minutes BETWEEN 0 AND 43200),
    horizon_days           integer     NOT NULL CONSTRAINT venue_horizon_range CHECK (horizon_days BETWEEN 1 AND 730),
    hold_minutes           integer     NOT NULL CONSTRAINT venue_hold_range CHECK (hold_minutes BETWEEN 1 AND 43200),
    deposit_percent        integer     NOT NULL CONSTRAINT venue_deposit_range CHECK (deposit_percent BETWEEN 0 AND 100),
    full_refund_hours      integer     NOT NULL CONSTRAINT venue_refund_range CHECK (full_refund_hours BETWEEN 0 AND 8760),
    late_refund_percent    integer     NOT NULL CONSTRAINT venue_late_refund_range CHECK (late_refund_percent BETWEEN 0 AND 100),
    waitlist_hold_minutes  integer     NOT NULL CONSTRAINT venue_waitlist_hold_range CHECK (waitlist_hold_minutes BETWEEN 1 AND 43200),
    version                bigint      NOT NULL DEFAULT 1,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    -- How far the venue's slots are laid out, in local dates; NULL while it has none. It is on the venue's row
    -- so that UpdateVenue, which may not move a venue with slots into another time zone, learns from the very
    -- row it waited for that slots have come meanwhile.
    laid_out_until         date,
    CONSTRAINT venue_party_range CHECK (min_party_size >= 1 AND max_party_size BETWEEN min_party_size AND 50),
    CONSTRAINT venue_clock_offsets CHECK (
        utc_offset_seconds BETWEEN -86399 AND 86399 AND next_utc_offset_seconds BETWEEN -86399 AND 86399)
);

-- ListVenues: by creation, all of them or those of one name.
CREATE INDEX venues_created ON venues (created_at, venue_id);
CREATE INDEX venues_name ON venues (name, created_at, venue_id);
-- Whose slots stand by older rules, and whose clock has to be renewed.
CREATE INDEX venues_time_zone_rules ON venues (time_zone_rules, venue_id);
CREATE INDEX venues_clock_changes ON venues (clock_changes_at, venue_id);

-- The date at a venue at a moment, by the clock in its row.
CREATE FUNCTION venue_date(venue venues, moment timestamptz) RETURNS date
LANGUAGE sql STABLE AS $$
SELECT (
    moment AT TIME ZONE 'UTC' + make_interval(secs =>
        CASE WHEN moment >= (venue).clock_changes_at THEN (venue).next_utc_offset_seconds
             ELSE (venue).utc_offset_seconds
        END)
)::date
$$;

-- When a date begins at a venue, as far as the clock in its row tells: until that is changed for the second time.
CREATE FUNCTION venue_midnight(venue venues, day date) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
SELECT CASE
    WHEN day::timestamp AT TIME ZONE 'UTC' - make_interval(secs => (venue).utc_offset_seconds) >= (venue).clock_changes_at
    -- The clock may leave out midnight itself.
    THEN GREATEST(
        day::timestamp AT TIME ZONE 'UTC' - make_interval(secs => (venue).next_utc_offset_seconds), (venue).clock_changes_at)
    ELSE day::timestamp AT TIME ZONE 'UTC' - make_interval(secs => (venue).utc_offset_seconds)
END
$$;

-- What a venue's slots are laid out from. It is read and written as a whole, so it is kept as one.
CREATE TABLE weekly_schedules (
    venue_id        uuid        PRIMARY KEY REFERENCES venues,
    periods         jsonb       NOT NULL,
    exceptions      jsonb       NOT NULL,
    -- How often it was set or laid out further. A writer names the version it read, so that of two at once
    -- one looks again.
    version         bigint      NOT NULL CONSTRAINT weekly_schedule_version CHECK (version >= 1),
    updated_at      timestamptz NOT NULL,
    -- When days have to be laid out that are not yet: as soon as the next day begins at the venue. Also, a
    -- little later than now, while a process is at it. The default is due at once.
    next_layout_at  timestamptz NOT NULL DEFAULT 'epoch'
);

-- What is due, the oldest first.
CREATE INDEX weekly_schedules_due ON weekly_schedules (next_layout_at, venue_id);

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
    -- What UpdateSlot sets is pinned: it stays whatever schedules are set afterwards, each figure by itself.
    -- That the venue closed a slot is its state, CLOSED; that it opened one needs a mark, because otherwise the
    -- next schedule without that slot would close it again. The mark means nothing on a slot that is not open.
    capacity_pinned         boolean     NOT NULL DEFAULT false,
    price_pinned            boolean     NOT NULL DEFAULT false,
    open_pinned             boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (venue_id, slot_date, start_time),
    CONSTRAINT slot_not_oversold CHECK (reserved BETWEEN 0 AND capacity),
    CONSTRAINT slot_order CHECK (ends_at > starts_at)
) WITH (fillfactor = 50);

-- Why a party cannot book a slot at a moment, or NULL when it can: the one place where a venue's
-- policy stands. The order is the contract's; see `unavailable_reason`. PostgreSQL inlines it into
-- the statements that use it.
--
-- The body is a string on purpose. PostgreSQL records what a body written as RETURN depends on, and then
-- refuses to add columns with a default to the tables whose rows the function takes.
CREATE FUNCTION slot_refusal(venue venues, slot slots, slot_date date, party_size integer, moment timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
SELECT CASE
    -- Beyond the horizon none are laid out: that says more than that this one is missing.
    WHEN (slot).venue_id IS NULL
         AND slot_date > venue_date(venue, moment) + (venue).horizon_days THEN 'TOO_FAR_AHEAD'
    WHEN (slot).venue_id IS NULL THEN 'SLOT_NOT_FOUND'
    WHEN party_size < (venue).min_party_size THEN 'PARTY_TOO_SMALL'
    WHEN party_size > (venue).max_party_size THEN 'PARTY_TOO_LARGE'
    WHEN slot_date > venue_date(venue, moment) + (venue).horizon_days THEN 'TOO_FAR_AHEAD'
    WHEN (slot).starts_at < moment + make_interval(mins => (venue).notice_minutes) THEN 'INSUFFICIENT_NOTICE'
    WHEN (slot).state <> 'OPEN' THEN 'SLOT_CLOSED'
    WHEN (slot).reserved + party_size > (slot).capacity THEN 'SLOT_FULL'
END
$$;

-- The deposit for a total, in minor units: an amount that Stripe can charge, and never more than the total. The
-- rule and its figures are those of `deposit_cents` in src/domain/stripe_currency.rs, where their source is named;
-- a test holds one against the other. The bodies are single expressions, so that PostgreSQL inlines them.
CREATE FUNCTION deposit_step_cents(currency text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN currency IN ('BHD', 'JOD', 'KWD', 'OMR', 'TND') THEN 10
            WHEN currency = 'MGA' THEN 100
            ELSE 1
       END::bigint
$$;

CREATE FUNCTION deposit_minimum_cents(currency text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN currency IN ('ARS', 'AUD', 'BRL', 'CAD', 'CHF', 'COP', 'EUR', 'IDR', 'ILS', 'INR', 'JPY', 'KRW', 'NZD',
                              'PHP', 'RUB', 'SGD', 'USD', 'ZAR') THEN 50
            WHEN currency = 'GBP' THEN 30
            WHEN currency IN ('AED', 'MYR', 'PLN', 'RON') THEN 200
            WHEN currency = 'DKK' THEN 250
            WHEN currency IN ('NOK', 'SEK') THEN 300
            WHEN currency = 'HKD' THEN 400
            WHEN currency IN ('MXN', 'THB') THEN 1000
            WHEN currency = 'CZK' THEN 1500
            WHEN currency = 'HUF' THEN 17500
            ELSE deposit_step_cents(currency)
       END
$$;

CREATE FUNCTION deposit_cents(total_cents bigint, percent integer, currency text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN total_cents IS NULL THEN NULL
    WHEN (total_cents * percent + 50) / 100 = 0 THEN 0
    -- up to a step
    WHEN (GREATEST((total_cents * percent + 50) / 100, deposit_minimum_cents(currency)) + deposit_step_cents(currency) - 1)
         / deposit_step_cents(currency) * deposit_step_cents(currency) <= total_cents
    THEN (GREATEST((total_cents * percent + 50) / 100, deposit_minimum_cents(currency)) + deposit_step_cents(currency) - 1)
         / deposit_step_cents(currency) * deposit_step_cents(currency)
    -- else the largest below the total
    WHEN total_cents / deposit_step_cents(currency) * deposit_step_cents(currency) >= deposit_minimum_cents(currency)
    THEN total_cents / deposit_step_cents(currency) * deposit_step_cents(currency)
    ELSE 0
END
$$;
