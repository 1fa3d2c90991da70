-- GetBooking: by id or by confirmation code, whichever is given.
SELECT b.*, v.time_zone
FROM bookings b
JOIN venues v ON v.venue_id = b.venue_id
WHERE b.booking_id = $1 OR b.confirmation_code = $2
