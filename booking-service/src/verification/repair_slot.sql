-- repair-projection: sets the reserved seats of a slot to the seats that its live bookings take by their events.
--
-- Only the row version $5, for which the seats were counted, is written. Any later change of seats makes a new row
-- version, also while this statement waits for the row's lock. The seats never exceed the capacity.
UPDATE slots
SET reserved = $4
WHERE venue_id = $1 AND slot_date = $2 AND start_time = $3
  AND xmin::text = $5::text
  AND $4 <= capacity
RETURNING venue_id
