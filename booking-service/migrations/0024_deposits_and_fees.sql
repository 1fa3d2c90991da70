-- Deposits per person and per booking, the minimum spend, and the fee for a no-show.
--
-- The amounts of a venue are 0 in every row of an earlier version, which is what they meant there. An earlier version
-- prices its bookings without them.
ALTER TABLE venues
    -- minor units of the venue's currency, beside deposit_percent
    ADD COLUMN deposit_per_person_cents bigint NOT NULL DEFAULT 0
        CONSTRAINT venue_deposit_per_person CHECK (deposit_per_person_cents BETWEEN 0 AND 100000000),
    ADD COLUMN deposit_fixed_cents bigint NOT NULL DEFAULT 0
        CONSTRAINT venue_deposit_fixed CHECK (deposit_fixed_cents BETWEEN 0 AND 100000000),
    -- The smallest party that pays a deposit; 0: every party.
    ADD COLUMN deposit_min_party_size integer NOT NULL DEFAULT 0
        CONSTRAINT venue_deposit_min_party_size CHECK (deposit_min_party_size BETWEEN 0 AND 50),
    -- per booking
    ADD COLUMN minimum_spend_cents bigint NOT NULL DEFAULT 0
        CONSTRAINT venue_minimum_spend CHECK (minimum_spend_cents BETWEEN 0 AND 100000000),
    ADD COLUMN no_show_fee_per_person_cents bigint NOT NULL DEFAULT 0
        CONSTRAINT venue_no_show_fee CHECK (no_show_fee_per_person_cents BETWEEN 0 AND 100000000);

ALTER TABLE bookings
    -- The fee of a no-show; NULL: none.
    ADD COLUMN no_show_fee_cents bigint,
    ADD CONSTRAINT booking_no_show_fee CHECK (
        no_show_fee_cents IS NULL OR no_show_fee_cents > 0 AND status = 'NO_SHOW') NOT VALID,
    -- A minimum spend or a deposit may exceed the price of the guests. Not validated: the constraint that it replaces
    -- was narrower.
    DROP CONSTRAINT booking_total,
    ADD CONSTRAINT booking_total CHECK (total_cents >= price_per_person_cents * party_size) NOT VALID;

-- The total of a booking that is made now; NULL without a price. A deposit counts towards the bill, so the bill is at
-- least the deposit. `Terms::total_cents` has the same rule; a test compares the two. PostgreSQL inlines the function.
CREATE FUNCTION booking_total_cents(venue venues, price_per_person_cents bigint, party_size integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
SELECT CASE WHEN price_per_person_cents IS NOT NULL THEN GREATEST(
    price_per_person_cents * party_size,
    (venue).minimum_spend_cents,
    CASE WHEN party_size >= (venue).deposit_min_party_size
         THEN (venue).deposit_per_person_cents * party_size + (venue).deposit_fixed_cents
    END) END
$$;

-- The amount that Stripe can charge for a wanted one, and never more than the total: as `deposit_cents`, which older
-- services call, for any amount. `chargeable_cents` in Rust has the same rule; a test compares the two.
CREATE FUNCTION chargeable_cents(total_cents bigint, wanted_cents bigint, currency text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN total_cents IS NULL THEN NULL
    WHEN wanted_cents = 0 THEN 0
    -- rounded up to a step
    WHEN (GREATEST(wanted_cents, deposit_minimum_cents(currency)) + deposit_step_cents(currency) - 1)
         / deposit_step_cents(currency) * deposit_step_cents(currency) <= total_cents
    THEN (GREATEST(wanted_cents, deposit_minimum_cents(currency)) + deposit_step_cents(currency) - 1)
         / deposit_step_cents(currency) * deposit_step_cents(currency)
    -- otherwise the largest step that is not above the total
    WHEN total_cents / deposit_step_cents(currency) * deposit_step_cents(currency) >= deposit_minimum_cents(currency)
    THEN total_cents / deposit_step_cents(currency) * deposit_step_cents(currency)
    ELSE 0
END
$$;

-- The deposit of a booking that is made now with this total. `Terms::deposit_cents` has the same rule; a test compares
-- the two. PostgreSQL inlines the function if the total is a plain column: callers compute it in a subquery of its own.
CREATE FUNCTION booking_deposit_cents(venue venues, total_cents bigint, party_size integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
SELECT chargeable_cents(
    total_cents,
    CASE WHEN party_size >= (venue).deposit_min_party_size
         THEN (total_cents * (venue).deposit_percent + 50) / 100
              + (venue).deposit_per_person_cents * party_size + (venue).deposit_fixed_cents
         ELSE 0
    END,
    (venue).currency)
$$;

-- As before, with what was added. The value has the JSON form of the contract's message: amounts are texts. Amounts of
-- 0 are left out, so the terms of a venue without them stay what they were.
CREATE OR REPLACE FUNCTION venue_terms(venue venues) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_strip_nulls(jsonb_build_object(
    'full_refund_hours', (venue).full_refund_hours,
    'late_refund_percent', (venue).late_refund_percent,
    'deposit_percent', (venue).deposit_percent,
    'deposit_per_person_cents', NULLIF((venue).deposit_per_person_cents, 0)::text,
    'deposit_fixed_cents', NULLIF((venue).deposit_fixed_cents, 0)::text,
    'deposit_min_party_size', NULLIF((venue).deposit_min_party_size, 0),
    'minimum_spend_cents', NULLIF((venue).minimum_spend_cents, 0)::text,
    'no_show_fee_per_person_cents', NULLIF((venue).no_show_fee_per_person_cents, 0)::text))
$$;

-- The terms of a walk-in: it owes no deposit, no minimum spend and no fee, also after a change. `Terms::for_walk_ins`
-- has the same rule.
CREATE FUNCTION walk_in_terms(venue venues) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
    'full_refund_hours', (venue).full_refund_hours,
    'late_refund_percent', (venue).late_refund_percent,
    'deposit_percent', 0)
$$;

-- Statements of version 0.1.0 return whole rows of these tables: see the end of 0011_columns.sql.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND wait_event IS DISTINCT FROM 'advisory'
  AND EXISTS (SELECT FROM bookings);
