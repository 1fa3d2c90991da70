-- verify-events: a page of venues with a floor by id, each with the days of its areas whose taken seats are not those of
-- its live bookings. Past days are left out: their bookings may have been made before the floor.
--
--   $1 the venue after which the page begins; $2 the last venue; $3 the size of the page; $4 now
--
-- One snapshot: every change of a booking writes its seats in the same transaction. A booking that touches a day from
-- yesterday on is of one of the last three dates or of a later one.
SELECT f.venue_id,
       ARRAY(SELECT area FROM unnest(different.areas) AS area) AS "areas!",
       COALESCE(different.since, '{}') AS "since!"
FROM (
    SELECT * FROM floors WHERE venue_id > $1 AND venue_id <= $2 ORDER BY venue_id LIMIT $3
) AS page
JOIN floors f ON f.venue_id = page.venue_id
CROSS JOIN LATERAL (
    SELECT array_agg(COALESCE(kept.area, counted.area) ORDER BY COALESCE(kept.day, counted.day)) AS areas,
           array_agg(f.counts_from + make_interval(hours => 24 * COALESCE(kept.day, counted.day))
                     ORDER BY COALESCE(kept.day, counted.day)) AS since
    FROM (
        SELECT d.area, d.day, d.taken, d.tables FROM area_days d WHERE d.venue_id = f.venue_id AND 0 < ANY (d.taken)
    ) AS kept
    FULL JOIN area_counts(f, ($4::timestamptz - interval '3 days')::date) AS counted
        ON counted.area = kept.area AND counted.day = kept.day
    WHERE (kept.taken, kept.tables) IS DISTINCT FROM (counted.taken, counted.tables)
      AND f.counts_from + make_interval(hours => 24 * COALESCE(kept.day, counted.day)) > $4 - interval '1 day'
) AS different
ORDER BY f.venue_id
