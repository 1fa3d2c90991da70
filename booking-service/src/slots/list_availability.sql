-- ListAvailability: the slots of a venue in a range of local dates, strictly after the cursor position ($4, $5) if there
-- is one. One row, with the venue's rules, and the page as columns: an array for each field, in the order of the slots,
-- empty when no slot matches. With a row for each slot, sending and reading the rows would cost more than finding them.
-- The caller finds out why a slot is refused. No row: no such venue. The default dates are today and the horizon. If
-- only bookable slots are requested, past dates are not read; the caller leaves out those whose areas are full. The last date is at most $10 days after the first.
SELECT
    v.time_zone AS "time_zone!", v.currency AS "currency!", v.min_party_size AS "min_party_size!",
    v.max_party_size AS "max_party_size!", v.notice_minutes AS "notice_minutes!", v.horizon_days AS "horizon_days!",
    clock.today AS "today!",
    page.local_starts AS "local_starts!", page.starts_at AS "starts_at!", page.ends_at AS "ends_at!",
    page.capacities AS "capacities!", page.reserved AS "reserved!",
    page.prices_per_person_cents AS "prices_per_person_cents!", page.are_open AS "are_open!",
    CASE WHEN v.has_floor
         THEN floor_state(
             v.venue_id, page.starts_at[1],
             page.starts_at[cardinality(page.starts_at)] + make_interval(hours => 32))
    END AS "floor?"
FROM venues v
CROSS JOIN LATERAL (
    SELECT venue_date(v, $9::timestamptz) AS today
) AS clock
CROSS JOIN LATERAL (
    SELECT CASE WHEN $7 THEN GREATEST($2::date, today) ELSE COALESCE($2, today) END AS first_date,
           CASE WHEN $3::date IS NULL THEN GREATEST(today + v.horizon_days, $2)
                ELSE LEAST($3, COALESCE($2, today) + $10::integer)
           END AS last_date
) AS range
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(local_start), '{}') AS local_starts,
           COALESCE(array_agg(starts_at), '{}') AS starts_at,
           COALESCE(array_agg(ends_at), '{}') AS ends_at,
           COALESCE(array_agg(capacity), '{}') AS capacities,
           COALESCE(array_agg(reserved), '{}') AS reserved,
           COALESCE(array_agg(price_per_person_cents), '{}') AS prices_per_person_cents,
           COALESCE(array_agg(is_open), '{}') AS are_open
    FROM (
        SELECT slots.slot_date + slots.start_time AS local_start, slots.starts_at, slots.ends_at, slots.capacity,
               slots.reserved, slots.price_per_person_cents, slots.state = 'OPEN' AS is_open
        FROM slots
        WHERE slots.venue_id = v.venue_id
          AND slots.slot_date BETWEEN GREATEST(range.first_date, $4) AND range.last_date
          -- For each slot this costs more than reading it, so it is left out on the first page.
          AND ($4::date IS NULL OR (slots.slot_date, slots.start_time) > ($4, $5::time))
          AND NOT ($7 AND slot_refusal(v, slots, slots.slot_date, $6, $9) IS NOT NULL)
        -- The arrays keep this order, because nothing reorders the rows between here and the aggregates.
        ORDER BY slots.slot_date, slots.start_time
        LIMIT $8
    ) AS found
) AS page
WHERE v.venue_id = $1
