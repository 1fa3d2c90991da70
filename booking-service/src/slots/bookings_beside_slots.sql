-- Time zone rules: the next $6 bookings of a venue from the date $2 on, strictly after the cursor position ($3, $4,
-- $5). `differs`: the slot begins at another instant than the booking, and one of the two instants is in the future.
SELECT p.slot_date, p.start_time, p.booking_id,
       COALESCE(s.starts_at <> p.starts_at AND GREATEST(s.starts_at, p.starts_at) > $7::timestamptz, false) AS "differs!"
FROM (
    SELECT venue_id, slot_date, start_time, booking_id, starts_at
    FROM bookings
    WHERE venue_id = $1 AND slot_date >= $2 AND (slot_date, start_time, booking_id) > ($3::date, $4::time, $5::uuid)
    ORDER BY slot_date, start_time, booking_id
    LIMIT $6
) AS p
LEFT JOIN slots s USING (venue_id, slot_date, start_time)
ORDER BY p.slot_date, p.start_time, p.booking_id
