-- What pgbench asks BatchCheckAvailability for: $1 questions of $2 random slots each. Arrays are too long for
-- pgbench's own variables; out of a table they come as the service sends them, binary.
-- $3: how many venues there are; $4: the first day; $5: how many days; $6: starts a day.
INSERT INTO bench_slot_queries (query_id, venue_ids, slot_dates, start_times, party_sizes)
SELECT query_id,
       array_agg(lpad(to_hex(1 + floor(random() * $3::integer)::bigint), 32, '0')::uuid),
       array_agg($4::date + floor(random() * $5::integer)::integer),
       array_agg(time '11:00' + floor(random() * $6::integer) * interval '30 minutes'),
       array_agg(1 + floor(random() * 6)::integer)
FROM generate_series(0, $1::integer - 1) AS query_id, generate_series(1, $2::integer)
GROUP BY query_id
