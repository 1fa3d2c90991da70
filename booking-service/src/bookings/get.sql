-- GetBooking: by id or by confirmation code, whichever is given.
SELECT
    b.booking_id, b.confirmation_code, b.status, b.venue_id, b.slot_date, b.start_time, v.time_zone,
    b.starts_at, b.ends_at, b.customer_id, b.party_size, b.price_per_person_cents, b.total_cents,
    b.deposit_due_cents, b.paid_cents, b.refunded_cents, b.refund_due_cents, b.currency,
    b.hold_expires_at AS "hold_expires_at?", b.confirmed_at AS "confirmed_at?", b.cancelled_at AS "cancelled_at?",
    b.cancelled_by AS "cancelled_by?", b.conversation_id,
    b.special_requests_sealed AS "special_requests_sealed?", b.source,
    b.waitlist_entry_id AS "waitlist_entry_id?", b.version, b.created_at, b.updated_at
FROM bookings b
JOIN venues v ON v.venue_id = b.venue_id
WHERE b.booking_id = $1 OR b.confirmation_code = $2
