-- SetSpecialDays, DeleteSpecialDays: the upcoming bookings of a venue on dates from $2 to $3 in slots that are not
-- planned to be open, in the order of the slots. The first $7 of them, each with the number of all.
--
--   $4, $5   the dates and start times of the slots that are planned to be open
--   $6       the moment
--
-- A slot that UpdateSlot opened stays open, planned or not. Bookings are read only of slots that are not open. NOT IN
-- is hashed for any estimate of the number of slots.
SELECT
    b.booking_id, b.slot_date, b.start_time, b.status AS "status: BookingStatus", b.party_size,
    count(*) OVER () AS "affected_count!"
FROM slots s
JOIN bookings b ON b.venue_id = s.venue_id AND b.slot_date = s.slot_date AND b.start_time = s.start_time
WHERE s.venue_id = $1 AND s.slot_date BETWEEN $2 AND $3
  AND s.reserved > 0
  AND NOT (s.open_pinned AND s.state = 'OPEN')
  AND (s.slot_date, s.start_time) NOT IN (SELECT * FROM unnest($4::date[], $5::time[]))
  AND b.status IN ('PENDING', 'CONFIRMED') AND b.starts_at > $6
ORDER BY b.slot_date, b.start_time, b.booking_id
LIMIT $7
