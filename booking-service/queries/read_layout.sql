-- What the layout of one venue's days needs; as claim_layouts.sql, without taking it from anybody.
SELECT
    v.venue_id, v.version AS venue_version, v.time_zone, v.horizon_days, v.laid_out_until AS "laid_out_until?",
    w.periods, w.exceptions, w.version AS schedule_version, w.next_layout_at AS "due_since!"
FROM venues v
JOIN weekly_schedules w ON w.venue_id = v.venue_id
WHERE v.venue_id = $1
