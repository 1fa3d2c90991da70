-- Slot layout: takes up to $3 venues whose next day has begun, or whose horizon has moved. Until $2
-- nobody else takes them; then, when whoever took them has not come to an end, somebody does.
WITH due AS MATERIALIZED (
    SELECT venue_id, next_layout_at
    FROM weekly_schedules
    WHERE next_layout_at <= $1
    ORDER BY next_layout_at, venue_id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED  -- whoever holds it, another replica or SetWeeklySchedule, sees to it
),
claimed AS (
    UPDATE weekly_schedules w
    SET next_layout_at = $2
    FROM due
    WHERE w.venue_id = due.venue_id
    RETURNING w.venue_id, w.periods, w.exceptions, w.version, due.next_layout_at AS due_since
)
SELECT
    v.venue_id, v.version AS venue_version, v.time_zone, v.horizon_days, v.laid_out_until AS "laid_out_until?",
    c.periods, c.exceptions, c.version AS schedule_version, c.due_since AS "due_since!"
FROM claimed c
JOIN venues v ON v.venue_id = c.venue_id
