-- SuggestSlots: the slots of some venues whose local start is in a window. One row for each venue that exists, with its
-- rules and its slots as columns: an array for each field, all in one order.
--
--   $1            the venues
--   $2 - $5       the first and the last date and time of the window, local to each venue
--   $6            the moment, for the date at each venue
--
-- Each venue costs one lookup by primary key and one range of the slots' primary key, which also crosses midnight. The
-- caller finds out which slots can be booked. `floor`: the venue's floor, if it has one, with the days that a visit from
-- one of the slots can touch.
SELECT
    v.venue_id AS "venue_id!", v.name AS "name!", v.currency AS "currency!",
    v.min_party_size AS "min_party_size!", v.max_party_size AS "max_party_size!",
    v.notice_minutes AS "notice_minutes!", v.horizon_days AS "horizon_days!",
    venue_terms(v) AS "terms!: Json<Terms>",
    venue_date(v, $6::timestamptz) AS "today!",
    near.local_starts AS "local_starts!", near.starts_at AS "starts_at!", near.ends_at AS "ends_at!",
    near.open_seats AS "open_seats!", near.prices_per_person_cents AS "prices_per_person_cents!",
    near.are_open AS "are_open!",
    CASE WHEN v.has_floor
         THEN floor_state(v.venue_id, near.first_start, near.last_start + make_interval(hours => 32))
    END AS "floor?"
FROM unnest($1::uuid[]) AS wanted (venue_id)
JOIN venues v ON v.venue_id = wanted.venue_id
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(local_start), '{}') AS local_starts,
           COALESCE(array_agg(starts_at), '{}') AS starts_at,
           COALESCE(array_agg(ends_at), '{}') AS ends_at,
           COALESCE(array_agg(open_seats), '{}') AS open_seats,
           COALESCE(array_agg(price_per_person_cents), '{}') AS prices_per_person_cents,
           COALESCE(array_agg(is_open), '{}') AS are_open,
           min(starts_at) AS first_start, max(starts_at) AS last_start
    FROM (
        SELECT slots.slot_date + slots.start_time AS local_start, slots.starts_at, slots.ends_at,
               slots.capacity - slots.reserved AS open_seats, slots.price_per_person_cents,
               slots.state = 'OPEN' AS is_open
        FROM slots
        WHERE slots.venue_id = v.venue_id
          AND (slots.slot_date, slots.start_time) >= ($2::date, $3::time)
          AND (slots.slot_date, slots.start_time) <= ($4::date, $5::time)
    ) AS found
) AS near
