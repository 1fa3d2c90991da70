-- Venues: their policies, weekly schedules and slots.

CREATE TABLE venues (
    venue_id               uuid        PRIMARY KEY,
    name                   text        NOT NULL CONSTRAINT venue_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    -- An IANA name. Only the services compute local times, by the time zone rules built into them. PostgreSQL's own
    -- rules may be of another release, so they are never used.
    time_zone              text        NOT NULL CONSTRAINT venue_time_zone_length CHECK (char_length(time_zone) BETWEEN 1 AND 100),
    -- The venue's clock: seconds ahead of UTC until the next change of the offset, and after it. A worker renews these
    -- columns soon after each change.
    utc_offset_seconds       integer   NOT NULL,
    clock_changes_at         timestamptz,
    next_utc_offset_seconds  integer   NOT NULL,
    -- The oldest and the newest release of the time zone rules by which any future slot was laid out. A process whose
    -- rules are not older than the newest release brings all slots to its own release.
    time_zone_rules          text      COLLATE "C" NOT NULL CONSTRAINT venue_time_zone_rules
                                       CHECK (time_zone_rules ~ '^[0-9]{4}[a-z]{1,2}$'),
    time_zone_rules_newest   text      COLLATE "C" NOT NULL CONSTRAINT venue_time_zone_rules_newest
                                       CHECK (time_zone_rules_newest >= time_zone_rules),
    currency               text        NOT NULL CONSTRAINT venue_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    -- Default region for telephone numbers without a country code, as an ISO 3166 code.
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
    -- The last local date up to which the venue's slots are laid out; NULL while it has none. UpdateVenue must not
    -- change the time zone of a venue with slots. It locks this row, so it sees here whether slots were added
    -- meanwhile.
    laid_out_until         date,
    CONSTRAINT venue_party_range CHECK (min_party_size >= 1 AND max_party_size BETWEEN min_party_size AND 50),
    CONSTRAINT venue_clock_offsets CHECK (
        utc_offset_seconds BETWEEN -86399 AND 86399 AND next_utc_offset_seconds BETWEEN -86399 AND 86399)
);

-- ListVenues: in order of creation, all venues or the venues of one name.
CREATE INDEX venues_created ON venues (created_at, venue_id);
CREATE INDEX venues_name ON venues (name, created_at, venue_id);
-- Venues whose slots follow older time zone rules, and venues whose clock must be renewed.
CREATE INDEX venues_time_zone_rules ON venues (time_zone_rules, venue_id);
CREATE INDEX venues_clock_changes ON venues (clock_changes_at, venue_id);

-- The local date at a venue at a moment, by the clock in its row.
CREATE FUNCTION venue_date(venue venues, moment timestamptz) RETURNS date
LANGUAGE sql STABLE AS $$
SELECT (
    moment AT TIME ZONE 'UTC' + make_interval(secs =>
        CASE WHEN moment >= (venue).clock_changes_at THEN (venue).next_utc_offset_seconds
             ELSE (venue).utc_offset_seconds
        END)
)::date
$$;

-- When a date begins at a venue. The clock in the row knows one change of the offset, so the result is correct only up
-- to the second change.
CREATE FUNCTION venue_midnight(venue venues, day date) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
SELECT CASE
    WHEN day::timestamp AT TIME ZONE 'UTC' - make_interval(secs => (venue).utc_offset_seconds) >= (venue).clock_changes_at
    -- The change of the clock may skip midnight itself.
    THEN GREATEST(
        day::timestamp AT TIME ZONE 'UTC' - make_interval(secs => (venue).next_utc_offset_seconds), (venue).clock_changes_at)
    ELSE day::timestamp AT TIME ZONE 'UTC' - make_interval(secs => (venue).utc_offset_seconds)
END
$$;

-- The schedule from which a venue's slots are laid out. It is always read and written as a whole, so it is one row.
CREATE TABLE weekly_schedules (
    venue_id        uuid        PRIMARY KEY REFERENCES venues,
    periods         jsonb       NOT NULL,
    exceptions      jsonb       NOT NULL,
    -- Rises each time the schedule is set or laid out further. A writer states the version that it read; of two
    -- concurrent writers, one must read again.
    version         bigint      NOT NULL CONSTRAINT weekly_schedule_version CHECK (version >= 1),
    updated_at      timestamptz NOT NULL,
    -- When the next days must be laid out: when the next day begins at the venue. While a process lays out days, this
    -- is the end of its lease. The default is due immediately.
    next_layout_at  timestamptz NOT NULL DEFAULT 'epoch'
);

-- Due schedules, the oldest first.
CREATE INDEX weekly_schedules_due ON weekly_schedules (next_layout_at, venue_id);

-- A slot is (venue, local date, local time). `reserved` is the most frequently updated column of the service. The page
-- keeps free space for the next version of the row, and no index covers a column that changes. So a booking is a
-- heap-only update.
CREATE TABLE slots (
    venue_id                uuid        NOT NULL REFERENCES venues,
    slot_date               date        NOT NULL,
    start_time              time        NOT NULL,
    starts_at               timestamptz NOT NULL,
    ends_at                 timestamptz NOT NULL,
    capacity                integer     NOT NULL,
    reserved                integer     NOT NULL DEFAULT 0,
    price_per_person_cents  bigint      NOT NULL CONSTRAINT slot_price CHECK (price_per_person_cents BETWEEN 0 AND 100000000),
    -- UNSCHEDULED: not in the weekly schedule. CLOSED: closed by the venue, also when the schedule has the slot.
    state                   text        NOT NULL DEFAULT 'OPEN' CONSTRAINT slot_state CHECK (state IN ('OPEN', 'CLOSED', 'UNSCHEDULED')),
    -- UpdateSlot pins each value that it sets: later schedules do not change it. A slot that the venue closed needs no
    -- pin, because its state is CLOSED. A slot that the venue opened does: otherwise the next schedule without that
    -- slot would close it. `open_pinned` has no meaning on a slot that is not open.
    capacity_pinned         boolean     NOT NULL DEFAULT false,
    price_pinned            boolean     NOT NULL DEFAULT false,
    open_pinned             boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (venue_id, slot_date, start_time),
    CONSTRAINT slot_not_oversold CHECK (reserved BETWEEN 0 AND capacity),
    CONSTRAINT slot_order CHECK (ends_at > starts_at)
) WITH (fillfactor = 50);

-- Why a party cannot book a slot at a moment, or NULL when it can. Every statement that must know it uses this function;
-- `SlotRulesNow::refusal` has the same rule in Rust, and a test compares the two. The contract defines the order of the
-- reasons; see `unavailable_reason`. PostgreSQL inlines the function.
--
-- The body is a string on purpose. For a body written as RETURN, PostgreSQL records dependencies, and then refuses to
-- add columns with a default to the tables whose rows the function takes.
CREATE FUNCTION slot_refusal(venue venues, slot slots, slot_date date, party_size integer, moment timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
SELECT CASE
    -- No slot is laid out beyond the horizon, so this reason is more precise than SLOT_NOT_FOUND.
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

-- Why a new booking is refused, or NULL. `expected_cents` is the total that the customer was quoted; NULL if none was.
CREATE FUNCTION creation_refusal(
    venue venues, slot slots, slot_date date, party_size integer, expected_cents bigint, moment timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
SELECT COALESCE(
    slot_refusal(venue, slot, slot_date, party_size, moment),
    CASE WHEN (slot).price_per_person_cents * party_size <> expected_cents THEN 'PRICE_CHANGED' END)
$$;

-- The number that explains a refusal of a new booking, if it has one.
CREATE FUNCTION refusal_figure(refusal text, venue venues, slot slots, party_size integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
SELECT CASE refusal
    WHEN 'SLOT_FULL' THEN (slot).capacity - (slot).reserved
    WHEN 'INSUFFICIENT_NOTICE' THEN (venue).notice_minutes
    WHEN 'TOO_FAR_AHEAD' THEN (venue).horizon_days
    WHEN 'PARTY_TOO_SMALL' THEN (venue).min_party_size
    WHEN 'PARTY_TOO_LARGE' THEN (venue).max_party_size
    WHEN 'PRICE_CHANGED' THEN (slot).price_per_person_cents * party_size
END::bigint
$$;

-- The deposit for a total, in minor units: an amount that Stripe can charge, and never more than the total. The rule
-- and its numbers are the same as in `deposit_cents` in src/domain/stripe_currency.rs, which names their source; a test
-- compares the two. The bodies are single expressions, so that PostgreSQL inlines them.
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
    -- rounded up to a step
    WHEN (GREATEST((total_cents * percent + 50) / 100, deposit_minimum_cents(currency)) + deposit_step_cents(currency) - 1)
         / deposit_step_cents(currency) * deposit_step_cents(currency) <= total_cents
    THEN (GREATEST((total_cents * percent + 50) / 100, deposit_minimum_cents(currency)) + deposit_step_cents(currency) - 1)
         / deposit_step_cents(currency) * deposit_step_cents(currency)
    -- otherwise the largest step that is not above the total
    WHEN total_cents / deposit_step_cents(currency) * deposit_step_cents(currency) >= deposit_minimum_cents(currency)
    THEN total_cents / deposit_step_cents(currency) * deposit_step_cents(currency)
    ELSE 0
END
$$;
