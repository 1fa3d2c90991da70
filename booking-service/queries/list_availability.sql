-- ListAvailability: the slots of a venue in a range of local dates, from behind the cursor ($4, $5).
-- One row a slot, with the venue on each; one row without a slot when none matches; no row when
-- there is no such venue. Dates that are not given are today and the horizon. What cannot be booked any
-- more is not looked at where only bookable slots are asked for; the last date is at most $10 days ahead.
SELECT
    v.time_zone AS "time_zone!", v.currency AS "currency!",
    s.slot_date AS "slot_date?", s.start_time AS "start_time?", s.starts_at AS "starts_at?", s.ends_at AS "ends_at?",
    s.capacity AS "capacity?", s.reserved AS "reserved?", s.price_per_person_cents AS "price_per_person_cents?",
    s.refusal AS "refusal?"
FROM venues v
CROSS JOIN LATERAL (
    SELECT ($9::timestamptz AT TIME ZONE v.time_zone)::date AS today
) AS clock
CROSS JOIN LATERAL (
    SELECT CASE WHEN $7 THEN GREATEST($2::date, today) ELSE COALESCE($2, today) END AS first_date,
           CASE WHEN $3::date IS NULL THEN GREATEST(today + v.horizon_days, $2)
                ELSE LEAST($3, COALESCE($2, today) + $10::integer)
           END AS last_date
) AS range
LEFT JOIN LATERAL (
    SELECT slots.slot_date, slots.start_time, slots.starts_at, slots.ends_at, slots.capacity, slots.reserved,
           slots.price_per_person_cents, slot_refusal(v, slots, slots.slot_date, $6, $9) AS refusal
    FROM slots
    WHERE slots.venue_id = v.venue_id
      AND slots.slot_date BETWEEN range.first_date AND range.last_date
      AND (slots.slot_date, slots.start_time) > ($4::date, $5::time)
      AND NOT ($7 AND slot_refusal(v, slots, slots.slot_date, $6, $9) IS NOT NULL)
    ORDER BY slots.slot_date, slots.start_time
    LIMIT $8
) AS s ON true
WHERE v.venue_id = $1
ORDER BY s.slot_date, s.start_time
