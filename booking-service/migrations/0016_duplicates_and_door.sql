-- A customer who books twice for the same time at the same venue mostly repeats a booking by mistake, for example in
-- another channel. CreateBooking and RescheduleBooking refuse it, unless the call allows it.

-- The live booking of a customer at a venue whose visit overlaps a time; the earliest one, and no row if there is none.
-- `besides` is not counted: the booking that is made or moved.
--
-- A visit lasts at most 24 hours, so the bookings of the days around the slot's date are enough. The index
-- bookings_customer_slot finds them.
CREATE FUNCTION duplicate_of(
    customer uuid, venue uuid, around date, since timestamptz, until timestamptz, besides uuid)
RETURNS TABLE (booking_id uuid, starts_at timestamptz) LANGUAGE sql STABLE AS $$
SELECT b.booking_id, b.starts_at
FROM bookings b
WHERE b.customer_id = customer AND b.slot_date BETWEEN around - 2 AND around + 2 AND b.venue_id = venue
  AND b.status IN ('PENDING', 'CONFIRMED') AND b.starts_at < until AND b.ends_at > since AND b.booking_id <> besides
ORDER BY b.slot_date, b.start_time, b.booking_id
LIMIT 1
$$;

-- The same for a statement that has locked the customer since its snapshot. Volatile, so it sees every booking that was
-- committed before the lock was granted: two bookings of one customer, whatever their slots are, wait for each other
-- here, and the second one sees the first.
CREATE FUNCTION has_duplicate(
    customer uuid, venue uuid, around date, since timestamptz, until timestamptz, besides uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM duplicate_of(customer, venue, around, since, until, besides));
END
$$;

-- True, or the statement fails. For a statement that has written rows by then.
CREATE FUNCTION refuse_duplicate(
    customer uuid, venue uuid, around date, since timestamptz, until timestamptz, besides uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF has_duplicate(customer, venue, around, since, until, besides) THEN
        RAISE EXCEPTION 'the customer has another booking at that time'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'booking_is_no_duplicate';
    END IF;
    RETURN true;
END
$$;

-- The live bookings of a customer at a venue that overlap the 24 hours after a time, at most 100, as JSON; the rule
-- compares them with the visit.
CREATE FUNCTION visits_after(customer uuid, venue uuid, around date, since timestamptz, besides uuid) RETURNS jsonb
LANGUAGE sql STABLE AS $$
SELECT jsonb_agg(to_jsonb(visit))
FROM (
    SELECT b.booking_id, b.starts_at, b.ends_at
    FROM bookings b
    WHERE b.customer_id = customer AND b.slot_date BETWEEN around - 2 AND around + 2 AND b.venue_id = venue
      AND b.status IN ('PENDING', 'CONFIRMED') AND b.starts_at < since + interval '24 hours' AND b.ends_at > since
      AND b.booking_id IS DISTINCT FROM besides
    ORDER BY b.slot_date, b.start_time, b.booking_id
    LIMIT 100
) AS visit
$$;

-- Walk-ins and the door of a venue.

-- Why a walk-in cannot book a slot, or NULL: as slot_refusal, with the notice of walk-ins. They take a slot that began at
-- most 30 minutes ago; `WALK_IN_LATE_MINUTES` in src/domain/walk_in.rs has the same number.
CREATE FUNCTION walk_in_refusal(venue venues, slot slots, slot_date date, party_size integer, moment timestamptz)
RETURNS text LANGUAGE sql STABLE AS $$
SELECT slot_refusal(jsonb_populate_record(venue, '{"notice_minutes": -30}'), slot, slot_date, party_size, moment)
$$;
