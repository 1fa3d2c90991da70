-- SetWeeklySchedule: replaces the schedule with its special days, and lays its slots out, in one statement. Also that
-- of SetSpecialDays and DeleteSpecialDays, which change only the special days.
--
-- The slots were computed from the venue at version $2. No row: the venue or its schedule has changed since, or the
-- venue no longer exists; nothing was written, and the caller must compute the slots again. Only slots that differ are
-- written: laying out the same schedule again writes none. Values that UpdateSlot has set on a slot are pinned and
-- stay. The planner cannot estimate the number of slots. IN and NOT IN are hashed for any estimate; with a wrong
-- estimate, joins would compare each slot with each.
WITH venue AS MATERIALIZED (       -- locked, so that it does not change until the slots are written
    SELECT venue_id, time_zone_rules_newest <= $16 AS may_move
    FROM venues
    WHERE venue_id = $1 AND version = $2
    FOR NO KEY UPDATE
),
-- The gate. This step waits for a concurrent change of the schedule. The slots of that change are not in the snapshot
-- and would stay open here, so nothing is written if the version is not the one that was read ($14, 0 for none).
schedule AS (
    INSERT INTO weekly_schedules AS w (venue_id, periods, exceptions, special_days, version, updated_at, next_layout_at)
    SELECT venue_id, $3, $4, $18, 1, $5, $15 FROM venue
    ON CONFLICT (venue_id) DO UPDATE
    SET periods = EXCLUDED.periods,
        exceptions = EXCLUDED.exceptions,
        special_days = EXCLUDED.special_days,
        version = w.version + 1,
        updated_at = EXCLUDED.updated_at,
        next_layout_at = EXCLUDED.next_layout_at
    WHERE w.version = $14
    RETURNING w.venue_id
),
planned AS MATERIALIZED (          -- the slots of the schedule
    SELECT *
    FROM unnest($8::date[], $9::time[], $10::timestamptz[], $11::timestamptz[], $12::integer[], $13::bigint[], $17::boolean[])
         AS slot (slot_date, start_time, starts_at, ends_at, capacity, price, is_closed)
),
wanted AS MATERIALIZED (           -- the open slots among them
    SELECT slot_date, start_time, starts_at, ends_at, capacity, price FROM planned WHERE NOT is_closed
),
-- The existing slots, wanted or not, locked in the order of every statement, so that no deadlock can occur.
known AS MATERIALIZED (
    SELECT s.slot_date, s.start_time, s.state, s.open_pinned
    FROM slots s, schedule
    WHERE s.venue_id = schedule.venue_id AND s.slot_date >= $6
    ORDER BY s.slot_date, s.start_time
    FOR NO KEY UPDATE OF s
),
-- No slot gets fewer seats than are reserved on it. One that the venue has closed stays closed.
laid AS (
    INSERT INTO slots AS s (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents)
    SELECT schedule.venue_id, w.slot_date, w.start_time, w.starts_at, w.ends_at, w.capacity, w.price
    FROM schedule, wanted w
    WHERE (SELECT count(*) FROM known) >= 0    -- not before all slots are locked
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
    RETURNING s.slot_date, s.start_time, s.capacity, s.capacity_pinned, s.state
),
shut AS (                          -- on closed dates: the next step handles the existing slots
    INSERT INTO slots (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents, state)
    SELECT schedule.venue_id, p.slot_date, p.start_time, p.starts_at, p.ends_at, p.capacity, p.price, 'UNSCHEDULED'
    FROM schedule, planned p
    WHERE p.is_closed AND (SELECT count(*) FROM known) >= 0
    ON CONFLICT (venue_id, slot_date, start_time) DO NOTHING
),
-- Slots that are no longer scheduled; their bookings stay. This includes slots beyond the horizon, which remain after
-- the horizon was shortened. They belong to an older schedule and are laid out again when the horizon reaches them.
dropped AS (
    UPDATE slots s
    SET state = 'UNSCHEDULED'
    FROM schedule, known k
    WHERE s.venue_id = schedule.venue_id AND s.slot_date = k.slot_date AND s.start_time = k.start_time
      AND s.state = 'OPEN' AND NOT s.open_pinned
      AND (k.slot_date, k.start_time) NOT IN (SELECT slot_date, start_time FROM wanted)
    RETURNING s.slot_date, s.reserved
),
noted AS (
    UPDATE venues v
    SET laid_out_until = CASE WHEN v.laid_out_until IS NOT NULL OR EXISTS (SELECT FROM planned) THEN $7::date END,
        time_zone_rules = LEAST(v.time_zone_rules, $16),
        time_zone_rules_newest = GREATEST(v.time_zone_rules_newest, $16)
    FROM schedule
    WHERE v.venue_id = schedule.venue_id
)
SELECT
    laid_out.created AS "created!",
    laid_out.updated AS "updated!",
    dropped_here.closed AS "closed!",
    laid_out.kept + dropped_here.kept AS "kept_reserved!",
    (SELECT count(*) FROM wanted) - laid_out.created - laid_out.updated + (
        SELECT count(*) FROM known k
        WHERE k.open_pinned AND k.state = 'OPEN' AND k.slot_date <= $7
          AND (k.slot_date, k.start_time) NOT IN (SELECT slot_date, start_time FROM wanted)
    ) AS "unchanged!"
FROM schedule,
     LATERAL (
         SELECT count(*) FILTER (WHERE l.is_new) AS created,
                count(*) FILTER (WHERE NOT l.is_new AND l.state = 'OPEN') AS updated,
                count(*) FILTER (WHERE NOT l.is_as_wanted AND NOT l.capacity_pinned AND l.state = 'OPEN') AS kept
         FROM (
             SELECT laid.*,
                    (slot_date, start_time) NOT IN (SELECT slot_date, start_time FROM known) AS is_new,
                    (slot_date, start_time, capacity) IN (SELECT slot_date, start_time, capacity FROM wanted) AS is_as_wanted
             FROM laid
         ) AS l
     ) AS laid_out,
     LATERAL (
         SELECT count(*) AS closed, count(*) FILTER (WHERE reserved > 0) AS kept FROM dropped WHERE slot_date <= $7
     ) AS dropped_here
