-- UpdateVenue: sets the fields that are not NULL.
--
-- No row: no such venue. Otherwise one row: the venue after the call; `outcome` is
--   updated     the venue was changed as requested;
--   unchanged   the venue already was as requested, also with a stale etag;
--   stale       nothing was written: the venue is not at version $2;
--   has_slots   nothing was written: the venue has slots, which depend on its time zone and currency;
--   contended   nothing was written: the venue changed between snapshot and lock; run the statement again.
-- `layout_due`: days within the horizon may have no slots yet; the caller starts the layout with the returned schedule.
WITH target AS MATERIALIZED (
    SELECT
        v.venue_id, v.version, v.laid_out_until,
        COALESCE($3::text, v.name) AS name,
        COALESCE($4::text, v.time_zone) AS time_zone,
        COALESCE($5::text, v.currency) AS currency,
        COALESCE($6::integer, v.min_party_size) AS min_party_size,
        COALESCE($7::integer, v.max_party_size) AS max_party_size,
        COALESCE($8::integer, v.notice_minutes) AS notice_minutes,
        COALESCE($9::integer, v.horizon_days) AS horizon_days,
        COALESCE($10::integer, v.hold_minutes) AS hold_minutes,
        COALESCE($11::integer, v.deposit_percent) AS deposit_percent,
        COALESCE($12::integer, v.full_refund_hours) AS full_refund_hours,
        COALESCE($13::integer, v.late_refund_percent) AS late_refund_percent,
        COALESCE($14::integer, v.waitlist_hold_minutes) AS waitlist_hold_minutes,
        COALESCE($16::text, v.phone_region) AS phone_region,
        COALESCE($21::text[], v.tags) AS tags,
        COALESCE($22::text, v.place) AS place,
        COALESCE($23::integer, v.undo_minutes) AS undo_minutes,
        COALESCE($24::integer[], v.reminder_minutes) AS reminder_minutes,
        COALESCE($25::bigint, v.deposit_per_person_cents) AS deposit_per_person_cents,
        COALESCE($26::bigint, v.deposit_fixed_cents) AS deposit_fixed_cents,
        COALESCE($27::integer, v.deposit_min_party_size) AS deposit_min_party_size,
        COALESCE($28::bigint, v.minimum_spend_cents) AS minimum_spend_cents,
        COALESCE($29::bigint, v.no_show_fee_per_person_cents) AS no_show_fee_per_person_cents
    FROM venues v
    WHERE v.venue_id = $1
),
verdict AS MATERIALIZED (
    SELECT
        CASE WHEN (v.name, v.time_zone, v.currency, v.min_party_size, v.max_party_size, v.notice_minutes, v.horizon_days,
                   v.hold_minutes, v.deposit_percent, v.full_refund_hours, v.late_refund_percent, v.waitlist_hold_minutes,
                   v.phone_region, v.tags, v.place, v.undo_minutes, v.reminder_minutes,
                   v.deposit_per_person_cents, v.deposit_fixed_cents, v.deposit_min_party_size,
                   v.minimum_spend_cents, v.no_show_fee_per_person_cents)
                  = (t.name, t.time_zone, t.currency, t.min_party_size, t.max_party_size, t.notice_minutes, t.horizon_days,
                     t.hold_minutes, t.deposit_percent, t.full_refund_hours, t.late_refund_percent, t.waitlist_hold_minutes,
                     t.phone_region, t.tags, t.place, t.undo_minutes, t.reminder_minutes,
                     t.deposit_per_person_cents, t.deposit_fixed_cents, t.deposit_min_party_size,
                     t.minimum_spend_cents, t.no_show_fee_per_person_cents)
             THEN 'unchanged'
             WHEN $2::bigint <> v.version THEN 'stale'
             WHEN v.laid_out_until IS NOT NULL AND (v.time_zone, v.currency) <> (t.time_zone, t.currency) THEN 'has_slots'
             ELSE 'update'
        END AS verdict,
        -- another time zone also changes which days are within the horizon
        (v.time_zone, v.horizon_days) <> (t.time_zone, t.horizon_days) AS moves_horizon
    FROM target t
    JOIN venues v ON v.venue_id = t.venue_id
),
updated AS (                       -- the gate: the update sees the latest committed version of the row
    UPDATE venues v
    SET name = t.name,
        time_zone = t.time_zone,
        -- a venue that changes its time zone has no slots, so no slot follows other rules
        utc_offset_seconds = CASE WHEN t.time_zone = v.time_zone THEN v.utc_offset_seconds ELSE $17 END,
        clock_changes_at = CASE WHEN t.time_zone = v.time_zone THEN v.clock_changes_at ELSE $18 END,
        next_utc_offset_seconds = CASE WHEN t.time_zone = v.time_zone THEN v.next_utc_offset_seconds ELSE $19 END,
        time_zone_rules = CASE WHEN t.time_zone = v.time_zone THEN v.time_zone_rules ELSE $20 END,
        time_zone_rules_newest = CASE WHEN t.time_zone = v.time_zone THEN v.time_zone_rules_newest ELSE $20 END,
        currency = t.currency,
        min_party_size = t.min_party_size,
        max_party_size = t.max_party_size,
        notice_minutes = t.notice_minutes,
        horizon_days = t.horizon_days,
        hold_minutes = t.hold_minutes,
        deposit_percent = t.deposit_percent,
        full_refund_hours = t.full_refund_hours,
        late_refund_percent = t.late_refund_percent,
        waitlist_hold_minutes = t.waitlist_hold_minutes,
        phone_region = t.phone_region,
        tags = t.tags,
        place = t.place,
        undo_minutes = t.undo_minutes,
        reminder_minutes = t.reminder_minutes,
        deposit_per_person_cents = t.deposit_per_person_cents,
        deposit_fixed_cents = t.deposit_fixed_cents,
        deposit_min_party_size = t.deposit_min_party_size,
        minimum_spend_cents = t.minimum_spend_cents,
        no_show_fee_per_person_cents = t.no_show_fee_per_person_cents,
        version = v.version + 1,
        updated_at = GREATEST(v.updated_at, $15::timestamptz)
    FROM target t, verdict
    WHERE v.venue_id = t.venue_id
      AND verdict.verdict = 'update'
      AND v.version = t.version
      AND v.laid_out_until IS NOT DISTINCT FROM t.laid_out_until
    RETURNING v.*
),
due AS (                           -- records the layout as due, so that the worker does it if this process dies
    UPDATE weekly_schedules w
    SET next_layout_at = $15
    FROM updated, verdict
    WHERE w.venue_id = updated.venue_id AND verdict.moves_horizon
    RETURNING 1
),
venue AS (
    SELECT updated.* FROM updated
    UNION ALL
    SELECT v.* FROM venues v WHERE v.venue_id = $1 AND NOT EXISTS (SELECT FROM updated)
)
SELECT
    CASE WHEN verdict.verdict <> 'update' THEN verdict.verdict
         WHEN EXISTS (SELECT FROM updated) THEN 'updated'
         ELSE 'contended'
    END AS "outcome!",
    EXISTS (SELECT FROM due)
        OR EXISTS (SELECT FROM weekly_schedules w WHERE w.venue_id = $1 AND w.next_layout_at <= $15) AS "layout_due!",
    venue.venue_id AS "venue_id!", venue.name AS "name!", venue.time_zone AS "time_zone!", venue.currency AS "currency!",
    venue.min_party_size AS "min_party_size!", venue.max_party_size AS "max_party_size!",
    venue.notice_minutes AS "notice_minutes!", venue.horizon_days AS "horizon_days!",
    venue.hold_minutes AS "hold_minutes!", venue.deposit_percent AS "deposit_percent!",
    venue.full_refund_hours AS "full_refund_hours!", venue.late_refund_percent AS "late_refund_percent!",
    venue.waitlist_hold_minutes AS "waitlist_hold_minutes!", venue.phone_region AS "phone_region!", venue.tags AS "tags!",
    venue.place AS "place!", venue.undo_minutes AS "undo_minutes!",
    venue.reminder_minutes AS "reminder_minutes!",
    venue.deposit_per_person_cents AS "deposit_per_person_cents!", venue.deposit_fixed_cents AS "deposit_fixed_cents!",
    venue.deposit_min_party_size AS "deposit_min_party_size!", venue.minimum_spend_cents AS "minimum_spend_cents!",
    venue.no_show_fee_per_person_cents AS "no_show_fee_per_person_cents!",
    venue.version AS "version!",
    venue.created_at AS "created_at!", venue.updated_at AS "updated_at!",
    venue.laid_out_until AS "laid_out_until?", w.periods AS "periods?", w.exceptions AS "exceptions?",
    w.special_days AS "special_days?",
    w.version AS "schedule_version?"
FROM verdict
CROSS JOIN venue
LEFT JOIN weekly_schedules w ON w.venue_id = venue.venue_id
