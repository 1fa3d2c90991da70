-- repair-projection: counts the seats of a venue's areas again, as setting the same floor would.
--
--   $1 the venue; $2 the date at the venue, about; $3 now
SELECT s.outcome AS "outcome!"
FROM floors f
CROSS JOIN LATERAL set_floor(
    f.venue_id, f.version, floor_state(f.venue_id, NULL, NULL), f.counts_from, $2, $3, false) AS s
WHERE f.venue_id = $1
