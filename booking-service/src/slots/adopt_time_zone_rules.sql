-- Time zone rules: the venue, whose time zone is $2, stands by the rules $3 from now on, and its clock is told anew.
--
-- No row: nothing was written. Its time zone has changed, newer rules are in force, or slots were laid out since
-- they were looked at: the schedule is no longer at version $4, or, where there was none, the venue has slots.
WITH venue AS MATERIALIZED (       -- locked first, as by all who lay out slots
    SELECT venue_id FROM venues WHERE venue_id = $1 AND time_zone = $2 FOR NO KEY UPDATE
),
schedule AS (                      -- the gate for who is laying out just now
    UPDATE weekly_schedules w
    SET version = w.version + 1
    FROM venue
    WHERE w.venue_id = venue.venue_id AND w.version = $4::bigint
    RETURNING w.venue_id
)
UPDATE venues v
SET utc_offset_seconds = $5, clock_changes_at = $6, next_utc_offset_seconds = $7, time_zone_rules = $3,
    time_zone_rules_newest = $3
FROM venue
WHERE v.venue_id = venue.venue_id AND v.time_zone_rules_newest <= $3
  AND (EXISTS (SELECT FROM schedule) OR $4 IS NULL AND v.laid_out_until IS NULL)
RETURNING v.venue_id
