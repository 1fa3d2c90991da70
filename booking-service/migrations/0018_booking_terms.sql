-- The terms under which a booking was made, and what its changes have kept.
--
-- The terms are values, not a reference to a version of the venue's policy: a booking's row and its first event then
-- say all that a refund depends on, and nothing must be looked up to fold the events again.
--
-- NULL in each column: the version before wrote the row. Then the venue's current policy holds, and nothing was kept.
ALTER TABLE bookings
    ADD COLUMN terms jsonb,
    -- What the venue keeps of money that late changes freed; NULL: nothing.
    ADD COLUMN retained_cents bigint,
    -- The largest price that was paid for when the customer changed the booking late; NULL: it was not changed late.
    -- What the venue keeps is a part of it.
    ADD COLUMN refund_base_cents bigint,
    -- The largest part of the paid amount that a cancellation by the customer gives back, in percent, since the booking
    -- was changed late; NULL: as the terms say.
    ADD COLUMN refund_percent_max integer,
    -- The part of the paid amount that is for tips and extras beyond the price, and is never owed; NULL: nothing.
    ADD COLUMN extras_cents bigint,
    -- Not validated: that would read the whole table, whose rows all have NULL here.
    ADD CONSTRAINT booking_terms CHECK (jsonb_typeof(terms) = 'object') NOT VALID,
    ADD CONSTRAINT booking_retained CHECK (retained_cents > 0) NOT VALID,
    ADD CONSTRAINT booking_refund_base CHECK (refund_base_cents >= retained_cents) NOT VALID,
    ADD CONSTRAINT booking_extras CHECK (extras_cents > 0 AND extras_cents <= paid_cents) NOT VALID,
    ADD CONSTRAINT booking_refund_percent_max CHECK (refund_percent_max BETWEEN 0 AND 99) NOT VALID;

-- Whether the payment is for tips and extras; NULL: no.
ALTER TABLE payments ADD COLUMN is_extra boolean;

-- The terms of a booking that is made now. `VenuePolicy::terms` has the same rule; a test compares the two. PostgreSQL
-- inlines the function.
CREATE FUNCTION venue_terms(venue venues) RETURNS jsonb LANGUAGE sql STABLE AS $$
SELECT jsonb_build_object(
    'full_refund_hours', (venue).full_refund_hours,
    'late_refund_percent', (venue).late_refund_percent,
    'deposit_percent', (venue).deposit_percent)
$$;

-- The data of the first event of a booking, with its terms. The functions without them stay for older services.
CREATE FUNCTION booking_created(
    booking_id uuid, venue_id uuid, slot_date date, start_time time, status text, moment timestamptz, customer_id uuid,
    conversation_id text, confirmation_code text, starts_at timestamptz, ends_at timestamptz, time_zone text,
    party_size integer, price_per_person_cents bigint, total_cents bigint, deposit_cents bigint, currency text,
    hold_expires_at timestamptz, area text, occupied_until timestamptz, terms jsonb) RETURNS json
LANGUAGE sql STABLE AS $$
SELECT json_build_object(
    'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', left(start_time::text, 5),
    'booking_version', '1', 'status', 'BOOKING_STATUS_' || status, 'occurred_at', moment,
    'customer_id', customer_id, 'conversation_id', conversation_id, 'confirmation_code', confirmation_code,
    'starts_at', starts_at, 'ends_at', ends_at, 'time_zone', time_zone, 'party_size', party_size,
    'price_per_person_cents', price_per_person_cents::text, 'total_cents', total_cents::text,
    'deposit_cents', deposit_cents::text, 'currency', currency, 'hold_expires_at', hold_expires_at,
    'waitlist_entry_id', '', 'area', COALESCE(area, ''), 'occupied_until', occupied_until, 'terms', terms)
$$;
