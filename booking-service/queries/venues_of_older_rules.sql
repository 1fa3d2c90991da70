-- Time zone rules: up to $4 venues behind $3, by id, with slots that are behind the rules $1, or whose clock was
-- changed until $2 and has to be told anew. Slots that a process with newer rules has laid out are left to it.
SELECT
    v.venue_id, v.time_zone, v.time_zone_rules < $1 AND v.time_zone_rules_newest <= $1 AS "is_behind!",
    w.version AS "schedule_version?"
FROM venues v
LEFT JOIN weekly_schedules w ON w.venue_id = v.venue_id
WHERE v.venue_id IN (
    SELECT venue_id FROM venues WHERE time_zone_rules < $1 AND time_zone_rules_newest <= $1
    UNION ALL
    SELECT venue_id FROM venues WHERE clock_changes_at <= $2::timestamptz
) AND v.venue_id > $3
ORDER BY v.venue_id
LIMIT $4
