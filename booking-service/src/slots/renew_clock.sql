-- Time zone rules: a venue's clock is renewed after it was changed, unless newer rules than $6 are in use there.
UPDATE venues
SET utc_offset_seconds = $3, clock_changes_at = $4, next_utc_offset_seconds = $5
WHERE venue_id = $1 AND time_zone = $2 AND time_zone_rules_newest <= $6
RETURNING venue_id
