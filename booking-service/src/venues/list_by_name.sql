-- ListVenues: the venues of one name, in order of creation, strictly after the cursor position.
SELECT
    venue_id, name, time_zone, currency, min_party_size, max_party_size, notice_minutes, horizon_days,
    hold_minutes, deposit_percent, full_refund_hours, late_refund_percent, waitlist_hold_minutes,
    undo_minutes, phone_region, tags, place, reminder_minutes, deposit_per_person_cents, deposit_fixed_cents,
    deposit_min_party_size, minimum_spend_cents, no_show_fee_per_person_cents, version, created_at, updated_at
FROM venues
WHERE name = $4 AND (created_at, venue_id) > ($1, $2)
ORDER BY created_at, venue_id
LIMIT $3
