-- ListBookings: by slot, then id, whatever narrows the list. None of these columns changes but when a
-- booking is moved, so that its other changes stay heap-only.
CREATE INDEX bookings_slot ON bookings (slot_date, start_time, booking_id);
CREATE INDEX bookings_venue_slot ON bookings (venue_id, slot_date, start_time, booking_id);
-- Most that belong to no conversation have nothing to be found by.
CREATE INDEX bookings_conversation_slot ON bookings (conversation_id, slot_date, start_time, booking_id)
    WHERE conversation_id <> '';
-- Also what counts a customer's bookings, and what the foreign key looks for.
CREATE INDEX bookings_customer_slot ON bookings (customer_id, slot_date, start_time, booking_id);
DROP INDEX bookings_customer;
