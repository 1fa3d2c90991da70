-- Waitlist offers: leases the notes of one slot with freed seats until $2, and loads the data to decide an offer.
--
-- Always one row; its slot is null when no note is due. Notes that another process has locked are skipped. The snapshot
-- shows the notes, so it also shows the seats that were freed and the entries that were waiting when they were written.
-- `candidates`: for each party size that fits, the first entry in the queue of the slot; and of the entries whose window
-- contains the slot, the first of each party size and choice of areas. An entry with a window is none if its customer also
-- waits for this slot alone, or has an offer of it.
WITH oldest AS MATERIALIZED (
    SELECT venue_id, slot_date, start_time, noted_at
    FROM waitlist_openings
    WHERE next_attempt_at <= $1::timestamptz
    ORDER BY next_attempt_at, opening_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
notes AS MATERIALIZED (            -- all notes of this slot; seats that come free meanwhile add a note that is due
    SELECT o.opening_id
    FROM oldest JOIN waitlist_openings o USING (venue_id, slot_date, start_time)
    ORDER BY o.opening_id
    LIMIT 1000
    FOR UPDATE OF o SKIP LOCKED
),
claimed AS (
    UPDATE waitlist_openings o SET next_attempt_at = $2::timestamptz FROM notes WHERE o.opening_id = notes.opening_id
)
SELECT
    ARRAY(SELECT opening_id FROM notes ORDER BY opening_id) AS "notes!",
    oldest.noted_at AS "noted_at?",
    to_jsonb(s) AS "slot?",
    to_jsonb(v) AS "venue?",
    CASE WHEN v.has_floor
         THEN floor_state(v.venue_id, s.starts_at, s.starts_at + make_interval(hours => 32))
    END AS "floor?",
    (SELECT jsonb_agg(to_jsonb(first) ORDER BY first.queue_number)
     FROM (
         SELECT one.*
         FROM generate_series(1, LEAST(s.capacity - s.reserved, v.max_party_size)) AS size
         CROSS JOIN LATERAL (
             SELECT *
             FROM waitlist_entries e
             WHERE e.venue_id = s.venue_id AND e.slot_date = s.slot_date AND e.start_time = s.start_time
               AND e.party_size = size AND e.party_size > 0 AND e.status = 'WAITING' AND e.until_time IS NULL
             ORDER BY e.queue_number
             LIMIT 1
         ) AS one
         UNION ALL
         SELECT window_entry.*
         FROM (
             SELECT DISTINCT ON (e.party_size, e.areas) e.*
             FROM waitlist_entries e
             WHERE e.venue_id = s.venue_id AND e.slot_date = s.slot_date
               AND e.status = 'WAITING' AND e.until_time IS NOT NULL
               AND s.start_time BETWEEN e.from_time AND e.until_time
               AND e.party_size <= LEAST(s.capacity - s.reserved, v.max_party_size)
               AND NOT EXISTS (
                   SELECT
                   FROM waitlist_entries o
                   WHERE o.customer_id = e.customer_id AND o.venue_id = s.venue_id AND o.slot_date = s.slot_date
                     AND o.start_time = s.start_time AND o.status IN ('WAITING', 'OFFERED')
                     AND o.waitlist_entry_id <> e.waitlist_entry_id)
             ORDER BY e.party_size, e.areas, e.queue_number
         ) AS window_entry
     ) AS first) AS "candidates?",
    EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = s.venue_id AND w.slot_date = s.slot_date AND w.start_time = s.start_time
          AND w.status = 'WAITING' AND w.queue_number > 0)
    OR EXISTS (
        SELECT
        FROM waitlist_entries w
        WHERE w.venue_id = s.venue_id AND w.slot_date = s.slot_date AND w.status = 'WAITING' AND w.until_time IS NOT NULL
          AND s.start_time BETWEEN w.from_time AND w.until_time) AS "has_waiting_entries!",
    EXISTS (SELECT FROM waitlist_entries WHERE status = 'WAITING' AND bookable_until > '-infinity') AS "queue_exists!",
    EXISTS (SELECT FROM waitlist_reviews WHERE review_id > 0) AS "review_due!"
FROM (SELECT) AS always
LEFT JOIN oldest ON (SELECT count(*) FROM notes) > 0
LEFT JOIN slots s USING (venue_id, slot_date, start_time)
LEFT JOIN venues v USING (venue_id)
