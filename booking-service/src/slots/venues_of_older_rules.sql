-- Time zone rules: up to $4 venues after the id $3, in the order of id, whose slots follow older rules than $1, or
-- whose clock changed at or before $2 and must be renewed. Venues that use newer rules are left to processes with those
-- rules.
SELECT
    v.venue_id, v.time_zone, v.time_zone_rules < $1 AND v.time_zone_rules_newest <= $1 AS "is_behind!",
    w.version AS "schedule_version?"
FROM (
    SELECT venue_id FROM venues WHERE time_zone_rules < $1 AND time_zone_rules_newest <= $1 AND venue_id > $3
    UNION
    SELECT venue_id FROM venues WHERE clock_changes_at <= $2::timestamptz AND time_zone_rules_newest <= $1 AND venue_id > $3
) AS due
JOIN venues v USING (venue_id)
LEFT JOIN weekly_schedules w USING (venue_id)
ORDER BY v.venue_id
LIMIT $4
