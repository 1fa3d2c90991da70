-- ExportCustomer: the payments of these bookings, in the order of recording.
SELECT p.* FROM payments p WHERE p.booking_id = ANY ($1::uuid[]) ORDER BY p.created_at, p.payment_id
