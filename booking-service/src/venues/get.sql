-- GetVenue: a venue and its schedule, if one was set.
SELECT
    v.venue_id, v.name, v.time_zone, v.currency, v.min_party_size, v.max_party_size, v.notice_minutes,
    v.horizon_days, v.hold_minutes, v.deposit_percent, v.full_refund_hours, v.late_refund_percent,
    v.waitlist_hold_minutes, v.undo_minutes, v.phone_region, v.tags, v.place,
    v.reminder_minutes, v.deposit_per_person_cents, v.deposit_fixed_cents, v.deposit_min_party_size,
    v.minimum_spend_cents, v.no_show_fee_per_person_cents, v.version, v.created_at, v.updated_at,
    w.periods AS "periods?", w.exceptions AS "exceptions?", w.special_days AS "special_days?",
    w.version AS "schedule_version?", w.updated_at AS "schedule_updated_at?"
FROM venues v
LEFT JOIN weekly_schedules w ON w.venue_id = v.venue_id
WHERE v.venue_id = $1
