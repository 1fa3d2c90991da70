-- ListWaitlist: in the order of joining, strictly after queue number $7.
--
-- The narrowest given filter selects the index: conversation ($1), customer ($2), venue and date ($3, $4), venue, or
-- none; the other branches do not run. At most $8 rows are scanned; rows that do not match the other filters are
-- skipped. If the scan ends at that limit, the last scanned row is returned even if it does not match, so that the next
-- page starts after it. So no page takes long, however few rows match.
WITH scanned AS NOT MATERIALIZED (
    (SELECT w.* FROM waitlist_entries w
     WHERE $1::text IS NOT NULL AND w.conversation_id = $1 AND w.conversation_id <> '' AND w.queue_number > $7::bigint
     ORDER BY w.queue_number
     LIMIT $8::bigint)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2::uuid IS NOT NULL AND w.customer_id = $2 AND w.queue_number > $7
     ORDER BY w.queue_number
     LIMIT $8)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2 IS NULL AND $3::uuid IS NOT NULL AND $4::date IS NOT NULL
       AND w.venue_id = $3 AND w.slot_date = $4 AND w.queue_number > $7
     ORDER BY w.queue_number
     LIMIT $8)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NOT NULL AND $4 IS NULL AND w.venue_id = $3 AND w.queue_number > $7
     ORDER BY w.queue_number
     LIMIT $8)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND w.queue_number > $7
     ORDER BY w.queue_number
     LIMIT $8)
),
numbered AS NOT MATERIALIZED (
    SELECT
        l.*,
        row_number() OVER (ORDER BY l.queue_number) AS scan_number,
        ($2 IS NULL OR l.customer_id = $2)
            AND ($3 IS NULL OR l.venue_id = $3)
            AND ($4 IS NULL OR l.slot_date = $4)
            AND ($5::time IS NULL OR l.start_time = $5)
            AND ($6::text[] IS NULL OR l.status = ANY ($6)) AS matches
    FROM scanned l
),
page AS MATERIALIZED (
    SELECT n.* FROM numbered n WHERE n.matches OR n.scan_number = $8 ORDER BY n.queue_number LIMIT $9::bigint
),
-- The waiting entries between an entry of the page and the previous one in the same queue. Each section of a queue is
-- counted once, at most 999 entries; the sum of the sections is the number of entries ahead.
ahead AS (
    SELECT page.*, COALESCE(section.entries, 0) AS entries
    FROM (
        SELECT page.*, lag(page.queue_number) OVER (
                   PARTITION BY page.status = 'WAITING', page.venue_id, page.slot_date, page.start_time
                   ORDER BY page.queue_number
               ) AS previous_queue_number
        FROM page
    ) AS page
    LEFT JOIN LATERAL (
        SELECT count(*) AS entries
        FROM (
            SELECT
            FROM waitlist_entries w
            WHERE page.status = 'WAITING'
              AND w.venue_id = page.venue_id AND w.slot_date = page.slot_date AND w.start_time = page.start_time
              AND w.status = 'WAITING' AND w.queue_number > 0
              AND w.queue_number >= COALESCE(page.previous_queue_number, 0) AND w.queue_number < page.queue_number
            LIMIT 999
        ) AS between_them
    ) AS section ON true
)
SELECT
    a.scan_number AS "scan_number!", a.matches AS "matches!", a.queue_number AS "queue_number!",
    a.waitlist_entry_id AS "waitlist_entry_id!", a.status AS "status!",
    a.venue_id AS "venue_id!", a.slot_date AS "slot_date!", a.start_time AS "start_time!",
    (SELECT s.starts_at FROM slots s
     WHERE s.venue_id = a.venue_id AND s.slot_date = a.slot_date AND s.start_time = a.start_time) AS "starts_at!",
    (SELECT v.time_zone FROM venues v WHERE v.venue_id = a.venue_id) AS "time_zone!",
    a.party_size AS "party_size!",
    CASE WHEN a.status = 'WAITING'
         THEN LEAST(1000, 1 + sum(a.entries) OVER (
             PARTITION BY a.status = 'WAITING', a.venue_id, a.slot_date, a.start_time ORDER BY a.queue_number))
         ELSE 0
    END::integer AS "position!",
    a.customer_id AS "customer_id!", a.conversation_id AS "conversation_id!",
    CASE WHEN a.offered_at IS NOT NULL THEN a.booking_id END AS "booking_id?",
    offered.hold_expires_at AS "offer_expires_at?",
    a.created_at AS "created_at!", a.updated_at AS "updated_at!",
    a.from_time AS "from_time?", a.until_time AS "until_time?", a.areas AS "areas?",
    offered.total_cents AS "offered_total_cents?", offered.currency AS "offered_currency?",
    offered.area AS "offered_area?"
FROM ahead a
LEFT JOIN LATERAL (
    SELECT b.* FROM bookings b WHERE b.booking_id = a.booking_id AND a.status = 'OFFERED' LIMIT 1
) AS offered ON true
ORDER BY a.queue_number
