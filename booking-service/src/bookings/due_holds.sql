-- Bookings whose hold has run out, the longest first; by `booking_hold` they are PENDING.
SELECT booking_id FROM bookings WHERE hold_expires_at <= $1::timestamptz ORDER BY hold_expires_at LIMIT $2
