-- A booking as it is now, for the follow-ups that its events ask for. No row: no such booking.
SELECT b.version, b.status AS "status: _", b.starts_at, b.ends_at, b.customer_id, v.time_zone,
       CASE WHEN b.status = 'CONFIRMED' AND b.guest_confirmed_at IS NULL AND b.erased_at IS NULL
            THEN v.reminder_minutes ELSE '{}' END AS "reminder_minutes!"
FROM bookings b
JOIN venues v ON v.venue_id = b.venue_id
WHERE b.booking_id = $1
