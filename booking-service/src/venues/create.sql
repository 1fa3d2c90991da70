-- CreateVenue: creates a venue and its idempotency key. Always one row: the new venue, or the venue that an earlier
-- call with this key created, with the fingerprint to compare. If a concurrent duplicate commits first, the last step
-- fails on idempotency_keys_pkey; another run then replays.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, resource_id
    FROM idempotency_keys
    WHERE method = 'CreateVenue' AND key = $1
),
created AS (
    INSERT INTO venues (
        venue_id, name, time_zone, utc_offset_seconds, clock_changes_at, next_utc_offset_seconds, time_zone_rules,
        time_zone_rules_newest, currency, min_party_size, max_party_size, notice_minutes, horizon_days,
        hold_minutes, deposit_percent, full_refund_hours, late_refund_percent, waitlist_hold_minutes,
        phone_region, created_at, updated_at, tags, place, undo_minutes, reminder_minutes, deposit_per_person_cents,
        deposit_fixed_cents, deposit_min_party_size, minimum_spend_cents, no_show_fee_per_person_cents)
    SELECT $3::uuid, $4, $5, $18, $19, $20, $21, $21, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $17, $16::timestamptz, $16,
        $22, $23, $24, $25, $26, $27, $28, $29, $30
    WHERE NOT EXISTS (SELECT FROM prior)
    RETURNING venues.*
),
claim AS (                         -- no ON CONFLICT: a concurrent duplicate must undo the venue
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT 'CreateVenue', $1, $2, venue_id, $16
    FROM created
),
reply AS (
    SELECT created.*, NULL::bytea AS fingerprint FROM created
    UNION ALL
    SELECT v.*, prior.fingerprint FROM prior JOIN venues v ON v.venue_id = prior.resource_id
)
SELECT
    fingerprint AS "fingerprint?", venue_id AS "venue_id!", name AS "name!", time_zone AS "time_zone!",
    currency AS "currency!", min_party_size AS "min_party_size!", max_party_size AS "max_party_size!",
    notice_minutes AS "notice_minutes!", horizon_days AS "horizon_days!", hold_minutes AS "hold_minutes!",
    deposit_percent AS "deposit_percent!", full_refund_hours AS "full_refund_hours!",
    late_refund_percent AS "late_refund_percent!", waitlist_hold_minutes AS "waitlist_hold_minutes!",
    phone_region AS "phone_region!", tags AS "tags!", place AS "place!", undo_minutes AS "undo_minutes!",
    reminder_minutes AS "reminder_minutes!",
    deposit_per_person_cents AS "deposit_per_person_cents!", deposit_fixed_cents AS "deposit_fixed_cents!",
    deposit_min_party_size AS "deposit_min_party_size!", minimum_spend_cents AS "minimum_spend_cents!",
    no_show_fee_per_person_cents AS "no_show_fee_per_person_cents!",
    version AS "version!", created_at AS "created_at!", updated_at AS "updated_at!"
FROM reply
