-- Time zone rules: up to $5 slots of a venue from a date on, strictly after the cursor position ($3, $4), with their
-- start.
SELECT slot_date, start_time, starts_at
FROM slots
WHERE venue_id = $1 AND slot_date >= $2 AND (slot_date, start_time) > ($3, $4)
ORDER BY slot_date, start_time
LIMIT $5
