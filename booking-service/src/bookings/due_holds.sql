-- The next bookings with an expired hold after the position ($2, $3), the longest overdue first; by `booking_hold` they
-- are PENDING.
SELECT booking_id, hold_expires_at AS "hold_expires_at!"
FROM bookings
WHERE hold_expires_at <= $1::timestamptz AND (hold_expires_at, booking_id) > ($2::timestamptz, $3::uuid)
ORDER BY hold_expires_at, booking_id
LIMIT $4
FOR NO KEY UPDATE SKIP LOCKED
