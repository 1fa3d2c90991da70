-- Time zone rules: renews a venue's clock after a change of its offset, unless the venue uses newer rules than $6.
UPDATE venues
SET utc_offset_seconds = $3, clock_changes_at = $4, next_utc_offset_seconds = $5
WHERE venue_id = $1 AND time_zone = $2 AND time_zone_rules_newest <= $6
RETURNING venue_id
