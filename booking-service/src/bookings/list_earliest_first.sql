-- ListBookings, the earliest first: by slot and id, strictly between two cursor positions, $5 to $7 and $8 to $10.
--
-- The narrowest given filter selects the index: conversation ($1), customer ($2), venue ($3), or none; the other
-- branches do not run. At most $11 rows are scanned; rows that do not match the other filters are skipped. If the scan
-- ends at that limit, the last scanned row is returned even if it does not match, so that the next page starts after
-- it. So no page takes long, however few bookings match.
WITH scanned AS NOT MATERIALIZED (
    (SELECT b.* FROM bookings b
     WHERE $1::text IS NOT NULL AND b.conversation_id = $1 AND b.conversation_id <> ''
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date, b.start_time, b.booking_id
     LIMIT $11::bigint)
    UNION ALL
    (SELECT b.* FROM bookings b
     WHERE $1 IS NULL AND $2::uuid IS NOT NULL AND b.customer_id = $2
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date, b.start_time, b.booking_id
     LIMIT $11::bigint)
    UNION ALL
    (SELECT b.* FROM bookings b
     WHERE $1 IS NULL AND $2 IS NULL AND $3::uuid IS NOT NULL AND b.venue_id = $3
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date, b.start_time, b.booking_id
     LIMIT $11::bigint)
    UNION ALL
    (SELECT b.* FROM bookings b
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL
       AND (b.slot_date, b.start_time, b.booking_id) > ($5::date, $6::time, $7::uuid)
       AND (b.slot_date, b.start_time, b.booking_id) < ($8::date, $9::time, $10::uuid)
     ORDER BY b.slot_date, b.start_time, b.booking_id
     LIMIT $11::bigint)
),
numbered AS NOT MATERIALIZED (
    SELECT
        l.*,
        row_number() OVER (ORDER BY l.slot_date, l.start_time, l.booking_id) AS scan_number,
        ($2 IS NULL OR l.customer_id = $2)
            AND ($3 IS NULL OR l.venue_id = $3)
            AND ($4::text[] IS NULL OR l.status = ANY ($4)) AS matches
    FROM scanned l
)
SELECT n.*, (SELECT v.time_zone FROM venues v WHERE v.venue_id = n.venue_id) AS time_zone
FROM numbered n
WHERE n.matches OR n.scan_number = $11
ORDER BY n.slot_date, n.start_time, n.booking_id
LIMIT $12
