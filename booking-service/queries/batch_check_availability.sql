-- BatchCheckAvailability: one row for each slot asked for, in the order of asking, all of one moment
-- ($5): one snapshot, one clock. Each is two probes of primary keys; bookings are not read.
SELECT
    v.venue_id IS NOT NULL AS "venue_found!",
    v.currency AS "currency?",
    s.starts_at AS "starts_at?", s.ends_at AS "ends_at?", s.capacity AS "capacity?", s.reserved AS "reserved?",
    s.price_per_person_cents AS "price_per_person_cents?",
    s.price_per_person_cents * q.party_size AS "total_cents?",
    -- half a cent and more is rounded up
    (s.price_per_person_cents * q.party_size * v.deposit_percent + 50) / 100 AS "deposit_due_cents?",
    CASE WHEN v.venue_id IS NOT NULL THEN slot_refusal(v, s, q.slot_date, q.party_size, $5::timestamptz) END AS "refusal?"
FROM unnest($1::uuid[], $2::date[], $3::time[], $4::integer[]) WITH ORDINALITY
     AS q (venue_id, slot_date, start_time, party_size, place)
LEFT JOIN venues v ON v.venue_id = q.venue_id
LEFT JOIN slots s ON s.venue_id = q.venue_id AND s.slot_date = q.slot_date AND s.start_time = q.start_time
ORDER BY q.place
