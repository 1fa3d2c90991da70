-- SetWeeklySchedule: replaces the schedule and lays its slots out, in one statement.
--
-- The slots were computed from the venue as it was at version $2. No row: the venue or its schedule
-- has changed since (or the venue is gone), nothing was written, and it has to be run again.
-- Only slots that differ are written: laying out the same schedule again writes none.
-- What UpdateSlot has set on a slot is pinned there and stays.
-- The planner cannot know how many slots there are: IN and NOT IN are hashed whatever it thinks, where
-- joins would compare each with each.
WITH venue AS MATERIALIZED (       -- locked: it stays as it was until the slots are written
    SELECT venue_id, time_zone_rules_newest <= $16 AS may_move
    FROM venues
    WHERE venue_id = $1 AND version = $2
    FOR NO KEY UPDATE
),
-- The gate. What is set or laid out meanwhile is waited for, but the slots that came of it are not in
-- the snapshot, and would stay open here: at another version than the one read ($14, 0 for none)
-- nothing is done.
schedule AS (
    INSERT INTO weekly_schedules AS w (venue_id, periods, exceptions, version, updated_at, next_layout_at)
    SELECT venue_id, $3, $4, 1, $5, $15 FROM venue
    ON CONFLICT (venue_id) DO UPDATE
    SET periods = EXCLUDED.periods,
        exceptions = EXCLUDED.exceptions,
        version = w.version + 1,
        updated_at = EXCLUDED.updated_at,
        next_layout_at = EXCLUDED.next_layout_at
    WHERE w.version = $14
    RETURNING w.venue_id
),
planned AS MATERIALIZED (          -- the slots as the schedule has them
    SELECT *
    FROM unnest($8::date[], $9::time[], $10::timestamptz[], $11::timestamptz[], $12::integer[], $13::bigint[], $17::boolean[])
         AS slot (slot_date, start_time, starts_at, ends_at, capacity, price, is_closed)
),
wanted AS MATERIALIZED (           -- and those of them that are open
    SELECT slot_date, start_time, starts_at, ends_at, capacity, price FROM planned WHERE NOT is_closed
),
-- The slots as they are, wanted or not, locked in the order in which all lock them: whoever holds two
-- of them and this statement cannot wait for one another.
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
    WHERE (SELECT count(*) FROM known) >= 0    -- not before all are locked
    ON CONFLICT (venue_id, slot_date, start_time) DO UPDATE
    -- by newer rules than these it stands where it is
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
shut AS (                          -- on closed dates: what is there already is seen to by the next step
    INSERT INTO slots (venue_id, slot_date, start_time, starts_at, ends_at, capacity, price_per_person_cents, state)
    SELECT schedule.venue_id, p.slot_date, p.start_time, p.starts_at, p.ends_at, p.capacity, p.price, 'UNSCHEDULED'
    FROM schedule, planned p
    WHERE p.is_closed AND (SELECT count(*) FROM known) >= 0
    ON CONFLICT (venue_id, slot_date, start_time) DO NOTHING
),
-- Bookings on them stay. Also beyond the horizon, where slots are left when it was brought nearer: they
-- are those of an older schedule, and are laid out anew when the horizon comes back to them.
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
