-- Holds by when they run out, for the worker that frees their seats: only bookings that wait are in it.
CREATE INDEX bookings_hold ON bookings (hold_expires_at) WHERE status = 'PENDING';
