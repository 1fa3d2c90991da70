-- GetFloor: the venue's time zone, and its floor if it has one. No row: no such venue.
SELECT v.time_zone AS "time_zone!", floor_state(v.venue_id, NULL, NULL) AS "floor?"
FROM venues v
WHERE v.venue_id = $1
