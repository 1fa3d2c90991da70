-- Slot layout: leases up to $3 venues whose next day has begun, or whose horizon has moved, until $2. If a process has
-- not finished by then, another process takes its venues.
--
-- The venue is locked together with its schedule, so both are read at their latest committed version. From the
-- snapshot, the venue could be older than the schedule: a SetWeeklySchedule that commits in between lays out fewer
-- days, and the days after them would count as laid out.
WITH due AS MATERIALIZED (
    SELECT
        w.venue_id, w.next_layout_at, w.periods, w.exceptions, w.special_days, w.version AS schedule_version,
        v.version AS venue_version, v.time_zone, v.horizon_days, v.laid_out_until
    FROM weekly_schedules w
    JOIN venues v ON v.venue_id = w.venue_id
    WHERE w.next_layout_at <= $1
    ORDER BY w.next_layout_at, w.venue_id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED  -- the other replica or SetWeeklySchedule that has the lock lays out the days
),
claimed AS (
    UPDATE weekly_schedules w
    SET next_layout_at = $2
    FROM due
    WHERE w.venue_id = due.venue_id
    RETURNING w.venue_id
)
SELECT
    due.venue_id AS "venue_id!", due.venue_version AS "venue_version!", due.time_zone AS "time_zone!",
    due.horizon_days AS "horizon_days!", due.laid_out_until AS "laid_out_until?", due.periods AS "periods!",
    due.exceptions AS "exceptions!", due.special_days AS "special_days!",
    due.schedule_version AS "schedule_version!", due.next_layout_at AS "due_since!"
FROM due
JOIN claimed ON claimed.venue_id = due.venue_id
