-- Slot layout: lays out the slots of days up to $4.
--
-- The slots were computed from the venue at version $2, laid out until $14 (NULL: not at all), and its schedule at
-- version $3. No row: one of them has changed since, and nothing was written; the other change has laid out the slots
-- or has made the schedule due.
WITH venue AS MATERIALIZED (       -- locked first, as in SetWeeklySchedule
    SELECT venue_id, time_zone_rules_newest <= $12 AS may_move
    FROM venues
    WHERE venue_id = $1 AND version = $2
      AND laid_out_until IS NOT DISTINCT FROM $14::date    -- newer time zone rules can set it back
    FOR NO KEY UPDATE
),
schedule AS (                      -- the gate; a SetWeeklySchedule that has read this version must read again
    UPDATE weekly_schedules w
    SET version = w.version + 1, next_layout_at = $5
    FROM venue
    WHERE w.venue_id = venue.venue_id AND w.version = $3
    RETURNING w.venue_id
),
planned AS MATERIALIZED (
    SELECT *
    FROM unnest($6::date[], $7::time[], $8::timestamptz[], $9::timestamptz[], $10::integer[], $11::bigint[], $13::boolean[])
         AS w (slot_date, start_time, starts_at, ends_at, capacity, price, is_closed)
),
-- A slot can exist already if the horizon was shorter for a while. It is UNSCHEDULED if a schedule was set during that
-- time, unless the venue had closed or opened it. It is updated as SetWeeklySchedule would update it.
laid AS (
    INSERT INTO slots AS s (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents)
    SELECT schedule.venue_id, w.slot_date, w.start_time, w.starts_at, w.ends_at, w.capacity, w.price
    FROM schedule, planned w
    WHERE NOT w.is_closed
    ON CONFLICT (venue_id, slot_date, start_time) DO UPDATE
    -- a slot that follows newer time zone rules is not moved
    SET starts_at = CASE WHEN (SELECT may_move FROM venue) THEN EXCLUDED.starts_at ELSE s.starts_at END,
        ends_at = CASE WHEN (SELECT may_move FROM venue) THEN EXCLUDED.starts_at ELSE s.starts_at END
                  + (EXCLUDED.ends_at - EXCLUDED.starts_at),
        capacity = CASE WHEN s.capacity_pinned THEN s.capacity ELSE GREATEST(EXCLUDED.capacity, s.reserved) END,
        price_per_person_cents = CASE WHEN s.price_pinned THEN s.price_per_person_cents ELSE EXCLUDED.price_per_person_cents END,
        state = CASE s.state WHEN 'UNSCHEDULED' THEN 'OPEN' ELSE s.state END
    WHERE s.state = 'UNSCHEDULED'
       OR s.starts_at <> EXCLUDED.starts_at AND (SELECT may_move FROM venue)
       OR s.ends_at - s.starts_at <> EXCLUDED.ends_at - EXCLUDED.starts_at
       OR NOT s.capacity_pinned AND s.capacity <> GREATEST(EXCLUDED.capacity, s.reserved)
       OR NOT s.price_pinned AND s.price_per_person_cents <> EXCLUDED.price_per_person_cents
    RETURNING 1
),
shut AS (                          -- on closed dates; an existing slot is closed already, or was opened by the venue
    INSERT INTO slots (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents, state)
    SELECT schedule.venue_id, w.slot_date, w.start_time, w.starts_at, w.ends_at, w.capacity, w.price, 'UNSCHEDULED'
    FROM schedule, planned w
    WHERE w.is_closed
    ON CONFLICT (venue_id, slot_date, start_time) DO NOTHING
),
noted AS (
    UPDATE venues v
    SET laid_out_until = CASE WHEN v.laid_out_until IS NOT NULL OR EXISTS (SELECT FROM planned) THEN $4::date END,
        time_zone_rules = LEAST(v.time_zone_rules, $12),
        time_zone_rules_newest = GREATEST(v.time_zone_rules_newest, $12)
    FROM schedule
    WHERE v.venue_id = schedule.venue_id
)
SELECT (SELECT count(*) FROM laid) AS "laid!"
FROM schedule
