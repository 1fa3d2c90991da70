-- repair-projection: replaces the row of one booking by the row that its events give.
--
-- The statement locks the booking first and decides on the locked row, as every change of a booking does. A change
-- since the events were read has given the row another hash; then nothing is written. The slot's seats are repaired
-- afterwards.
WITH target AS MATERIALIZED (
    SELECT booking_id, event_hash FROM bookings WHERE booking_id = $1 FOR NO KEY UPDATE
)
UPDATE bookings b
SET confirmation_code = r.confirmation_code, status = r.status, venue_id = r.venue_id, slot_date = r.slot_date,
    start_time = r.start_time, starts_at = r.starts_at, ends_at = r.ends_at, customer_id = r.customer_id,
    party_size = r.party_size, price_per_person_cents = r.price_per_person_cents, total_cents = r.total_cents,
    deposit_cents = r.deposit_cents, paid_cents = r.paid_cents, refunded_cents = r.refunded_cents,
    refund_due_cents = r.refund_due_cents, disputed_cents = r.disputed_cents, kept_cents = r.kept_cents,
    unpaid_hold_expires_at = r.unpaid_hold_expires_at, currency = r.currency, hold_expires_at = r.hold_expires_at,
    confirmed_at = r.confirmed_at, cancelled_at = r.cancelled_at, cancelled_by = r.cancelled_by,
    conversation_id = r.conversation_id, waitlist_entry_id = r.waitlist_entry_id, version = r.version,
    area = r.area, occupied_until = r.occupied_until, tables = r.tables, terms = r.terms,
    retained_cents = r.retained_cents, refund_base_cents = r.refund_base_cents,
    refund_percent_max = r.refund_percent_max, guest_confirmed_at = r.guest_confirmed_at,
    extras_cents = r.extras_cents, seated_at = r.seated_at, no_show_fee_cents = r.no_show_fee_cents,
    created_at = r.created_at, updated_at = r.updated_at
FROM target t
JOIN bookings_rebuilt r ON r.booking_id = t.booking_id
WHERE b.booking_id = t.booking_id AND r.event_hash = t.event_hash
RETURNING b.booking_id
