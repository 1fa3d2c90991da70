-- BatchCheckAvailability: the availability of each requested slot, all at one moment ($5) and in one snapshot. One row,
-- with the answers as columns: an array for each field, in the order of the queries. Each answer needs two lookups by
-- primary key; bookings are not read.
SELECT
    array_agg(venue_found) AS "venue_found!",
    array_agg(currency) AS "currencies!: Vec<Option<String>>",
    array_agg(starts_at) AS "starts_at!: Vec<Option<DateTime<Utc>>>",
    array_agg(ends_at) AS "ends_at!: Vec<Option<DateTime<Utc>>>",
    array_agg(capacity) AS "capacities!: Vec<Option<i32>>",
    array_agg(reserved) AS "reserved!: Vec<Option<i32>>",
    array_agg(price_per_person_cents) AS "prices_per_person_cents!: Vec<Option<i64>>",
    array_agg(total_cents) AS "totals_cents!: Vec<Option<i64>>",
    array_agg(deposit_cents) AS "deposits_cents!: Vec<Option<i64>>",
    array_agg(refusal) AS "refusals!: Vec<Option<String>>",
    array_agg(areas) AS "areas!: Vec<Option<serde_json::Value>>"
FROM (
    SELECT
        v.venue_id IS NOT NULL AS venue_found, v.currency,
        s.starts_at, s.ends_at, s.capacity, s.reserved, s.price_per_person_cents,
        price.total_cents, booking_deposit_cents(v, price.total_cents, q.party_size) AS deposit_cents,
        CASE WHEN v.venue_id IS NOT NULL THEN slot_refusal(v, s, q.slot_date, q.party_size, $5::timestamptz) END AS refusal,
        CASE WHEN v.has_floor AND s.venue_id IS NOT NULL THEN open_areas(s, q.party_size) END AS areas
    FROM unnest($1::uuid[], $2::date[], $3::time[], $4::integer[]) WITH ORDINALITY
         AS q (venue_id, slot_date, start_time, party_size, query_number)
    LEFT JOIN venues v ON v.venue_id = q.venue_id
    LEFT JOIN slots s ON s.venue_id = q.venue_id AND s.slot_date = q.slot_date AND s.start_time = q.start_time
    CROSS JOIN LATERAL (           -- a plain column for the deposit
        SELECT booking_total_cents(v, s.price_per_person_cents, q.party_size) AS total_cents OFFSET 0
    ) AS price
    -- The arrays keep this order, because nothing reorders the rows between here and the aggregates.
    ORDER BY q.query_number
) AS checked
