-- The columns of an index's condition keep an update from being heap-only as its own columns do: with the
-- status in it, every change of a booking wrote all its index entries anew. By `booking_hold` this is the
-- same set of rows, and now only what begins or ends to wait for something pays for it.
DROP INDEX bookings_hold;
CREATE INDEX bookings_hold ON bookings (hold_expires_at) WHERE hold_expires_at IS NOT NULL;
