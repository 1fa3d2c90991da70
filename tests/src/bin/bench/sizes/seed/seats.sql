-- Every slot counts the seats of its live bookings.
UPDATE slots s
SET reserved = taken.seats
FROM (
    SELECT venue_id, slot_date, start_time, sum(party_size) AS seats
    FROM bookings
    WHERE status IN ('PENDING', 'CONFIRMED')
    GROUP BY venue_id, slot_date, start_time
) AS taken
WHERE s.venue_id = taken.venue_id AND s.slot_date = taken.slot_date AND s.start_time = taken.start_time
