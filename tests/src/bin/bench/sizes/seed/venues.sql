-- Venues without a weekly schedule, so that no worker lays out more slots, and the slots of $2 days from $3 on.
-- No process has rules of time zones that are newer than those of these venues: no worker goes through them.
-- $1: how many venues; $4: starts a day, every half hour from 11:00; $5: seats a slot; $6: the price of one.
WITH venue AS (
    INSERT INTO venues (
        venue_id, name, time_zone, currency, min_party_size, max_party_size, notice_minutes, horizon_days,
        hold_minutes, deposit_percent, full_refund_hours, late_refund_percent, waitlist_hold_minutes,
        phone_region, utc_offset_seconds, next_utc_offset_seconds, time_zone_rules, time_zone_rules_newest,
        created_at, updated_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'Venue ' || n, 'UTC', 'EUR', 1, 20, 240, 120,
           120, 25, 24, 50, 30, 'DE', 0, 0, '9999z', '9999z', now(), now()
    FROM generate_series(1, $1::integer) AS n
    RETURNING venue_id
)
INSERT INTO slots (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents)
SELECT venue_id, day, start_time, starts_at, starts_at + interval '2 hours', $5::integer, $6::bigint
FROM venue
CROSS JOIN generate_series(0, $2::integer - 1) AS day_number
CROSS JOIN generate_series(0, $4::integer - 1) AS slot_number
CROSS JOIN LATERAL (
    SELECT $3::date + day_number AS day, time '11:00' + slot_number * interval '30 minutes' AS start_time
) AS local
CROSS JOIN LATERAL (SELECT (day + start_time) AT TIME ZONE 'UTC' AS starts_at) AS instant
ORDER BY venue_id, day, start_time
