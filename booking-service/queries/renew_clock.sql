-- Time zone rules: the clock of a venue is told anew after it was changed.
UPDATE venues
SET utc_offset_seconds = $3, clock_changes_at = $4, next_utc_offset_seconds = $5
WHERE venue_id = $1 AND time_zone = $2
RETURNING venue_id
