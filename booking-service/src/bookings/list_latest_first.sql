-- ListBookings, the latest first: by slot and id, strictly between two places, $5 to $7 and $8 to $10.
--
-- Otherwise as list_bookings_earliest_first.sql.
WITH looked_at AS NOT MATERIALIZED (
    (SELECT b.* FROM bookings b
     WHERE $1::text IS NOT NULL AND b.conversation_id = $1 AND b.conversation_id <> ''
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date DESC, b.start_time DESC, b.booking_id DESC
     LIMIT $11::bigint)
    UNION ALL
    (SELECT b.* FROM bookings b
     WHERE $1 IS NULL AND $2::uuid IS NOT NULL AND b.customer_id = $2
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date DESC, b.start_time DESC, b.booking_id DESC
     LIMIT $11::bigint)
    UNION ALL
    (SELECT b.* FROM bookings b
     WHERE $1 IS NULL AND $2 IS NULL AND $3::uuid IS NOT NULL AND b.venue_id = $3
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date DESC, b.start_time DESC, b.booking_id DESC
     LIMIT $11::bigint)
    UNION ALL
    (SELECT b.* FROM bookings b
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date DESC, b.start_time DESC, b.booking_id DESC
     LIMIT $11::bigint)
),
judged AS NOT MATERIALIZED (
    SELECT
        l.*,
        row_number() OVER (ORDER BY l.slot_date DESC, l.start_time DESC, l.booking_id DESC) AS place,
        ($2 IS NULL OR l.customer_id = $2)
            AND ($3 IS NULL OR l.venue_id = $3)
            AND ($4::text[] IS NULL OR l.status = ANY ($4)) AS wanted
    FROM looked_at l
)
SELECT j.*, (SELECT v.time_zone FROM venues v WHERE v.venue_id = j.venue_id) AS time_zone
FROM judged j
WHERE j.wanted OR j.place = $11
ORDER BY j.slot_date DESC, j.start_time DESC, j.booking_id DESC
LIMIT $12
