-- ListFloor: the live bookings of a venue that are or may be at its floor between two moments, $2 and $3. The service
-- decides which are seated, late or arriving; `since` is $2 minus the longest time for which a party overstays.
--
-- A seated party is listed whenever its visit begins: it may have come up to two hours early.
--
-- A row without a booking if the venue has none, and no row if there is no such venue. The index bookings_venue_slot
-- finds the bookings of the days around; a visit lasts at most 24 hours.
SELECT found.*, v.time_zone || '' AS time_zone
FROM venues v
LEFT JOIN LATERAL (
    SELECT b.*
    FROM bookings b
    WHERE b.venue_id = v.venue_id
      AND b.slot_date BETWEEN venue_date(v, $2::timestamptz) - 2 AND venue_date(v, $3::timestamptz) + 1
      AND b.status IN ('PENDING', 'CONFIRMED')
      AND (b.starts_at < $3 OR b.seated_at IS NOT NULL)
      AND (b.ends_at > $2 OR b.seated_at IS NOT NULL AND b.ends_at > $4::timestamptz)
    ORDER BY b.slot_date, b.start_time, b.booking_id
    LIMIT $5::bigint
) AS found ON true
WHERE v.venue_id = $1::uuid
