-- ListWaitlist: in the order of joining, strictly after place $7.
--
-- The narrowest filter that is given says which index is gone by: conversation ($1), customer ($2), venue
-- and date ($3, $4), venue, or none; the other branches are not run. Rows that the other filters do not
-- want are passed over, but no more than $8 rows are looked at. Then the last row looked at is in the answer
-- too, wanted or not, so that the next page goes on from there: no page takes long, however few match.
WITH looked_at AS NOT MATERIALIZED (
    (SELECT w.* FROM waitlist_entries w
     WHERE $1::text IS NOT NULL AND w.conversation_id = $1 AND w.conversation_id <> '' AND w.place > $7::bigint
     ORDER BY w.place
     LIMIT $8::bigint)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2::uuid IS NOT NULL AND w.customer_id = $2 AND w.place > $7
     ORDER BY w.place
     LIMIT $8)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2 IS NULL AND $3::uuid IS NOT NULL AND $4::date IS NOT NULL
       AND w.venue_id = $3 AND w.slot_date = $4 AND w.place > $7
     ORDER BY w.place
     LIMIT $8)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NOT NULL AND $4 IS NULL AND w.venue_id = $3 AND w.place > $7
     ORDER BY w.place
     LIMIT $8)
    UNION ALL
    (SELECT w.* FROM waitlist_entries w
     WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND w.place > $7
     ORDER BY w.place
     LIMIT $8)
),
judged AS NOT MATERIALIZED (
    SELECT
        l.*,
        row_number() OVER (ORDER BY l.place) AS looked,
        ($2 IS NULL OR l.customer_id = $2)
            AND ($3 IS NULL OR l.venue_id = $3)
            AND ($4 IS NULL OR l.slot_date = $4)
            AND ($5::time IS NULL OR l.start_time = $5)
            AND ($6::text[] IS NULL OR l.status = ANY ($6)) AS wanted
    FROM looked_at l
),
page AS MATERIALIZED (
    SELECT j.* FROM judged j WHERE j.wanted OR j.looked = $8 ORDER BY j.place LIMIT $9::bigint
),
-- How many wait between one entry of the page and the one before it in the same queue: each stretch of a
-- queue is counted once, and the sum of them is how many are ahead. 999 at most are counted in one.
ahead AS (
    SELECT page.*, COALESCE(stretch.entries, 0) AS entries
    FROM (
        SELECT page.*, lag(page.place) OVER (
                   PARTITION BY page.status = 'WAITING', page.venue_id, page.slot_date, page.start_time ORDER BY page.place
               ) AS place_before
        FROM page
    ) AS page
    LEFT JOIN LATERAL (
        SELECT count(*) AS entries
        FROM (
            SELECT
            FROM waitlist_entries w
            WHERE page.status = 'WAITING'
              AND w.venue_id = page.venue_id AND w.slot_date = page.slot_date AND w.start_time = page.start_time
              AND w.status = 'WAITING' AND w.place > 0
              AND w.place >= COALESCE(page.place_before, 0) AND w.place < page.place
            LIMIT 999
        ) AS between_them
    ) AS stretch ON true
)
SELECT
    a.looked AS "looked!", a.wanted AS "wanted!", a.place AS "place!",
    a.waitlist_entry_id AS "waitlist_entry_id!", a.status AS "status!",
    a.venue_id AS "venue_id!", a.slot_date AS "slot_date!", a.start_time AS "start_time!",
    (SELECT s.starts_at FROM slots s
     WHERE s.venue_id = a.venue_id AND s.slot_date = a.slot_date AND s.start_time = a.start_time) AS "starts_at!",
    (SELECT v.time_zone FROM venues v WHERE v.venue_id = a.venue_id) AS "time_zone!",
    a.party_size AS "party_size!",
    CASE WHEN a.status = 'WAITING'
         THEN LEAST(1000, 1 + sum(a.entries) OVER (
             PARTITION BY a.status = 'WAITING', a.venue_id, a.slot_date, a.start_time ORDER BY a.place))
         ELSE 0
    END::integer AS "position!",
    a.customer_id AS "customer_id!", a.conversation_id AS "conversation_id!",
    CASE WHEN a.offered_at IS NOT NULL THEN a.booking_id END AS "booking_id?",
    CASE WHEN a.status = 'OFFERED'
         THEN (SELECT b.hold_expires_at FROM bookings b WHERE b.booking_id = a.booking_id)
    END AS "offer_expires_at?",
    a.created_at AS "created_at!", a.updated_at AS "updated_at!"
FROM ahead a
ORDER BY a.place
