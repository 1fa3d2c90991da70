-- Time zone rules: marks the venue, whose time zone is $2, as using the rules $3, and renews its clock.
--
-- No row: nothing was written. The venue's time zone has changed, newer rules are in use, or slots were laid out since
-- they were read: the schedule is no longer at version $4, or the venue had no schedule and now has slots.
WITH venue AS MATERIALIZED (       -- locked first, as in every statement that lays out slots
    SELECT venue_id FROM venues WHERE venue_id = $1 AND time_zone = $2 FOR NO KEY UPDATE
),
schedule AS (                      -- the new version makes a concurrent layout stale
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
