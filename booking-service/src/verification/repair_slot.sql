-- repair-projection: a slot counts the seats that its live bookings take by their events.
--
-- Only the very row for which they were counted is written: whoever has taken or given back seats since has made
-- another one, also while this waited for it. Never more than there is room for.
UPDATE slots
SET reserved = $4
WHERE venue_id = $1 AND slot_date = $2 AND start_time = $3
  AND xmin::text = $5::text
  AND $4 <= capacity
RETURNING venue_id
