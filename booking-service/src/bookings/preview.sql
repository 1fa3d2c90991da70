-- Loads the data to decide a new booking or waitlist entry, for calls that only validate. No row: no such venue.
--
--   $1 - $3  the slot; $4, $5 the method and its idempotency key; $6, $7 the hashes of the customer's e-mail and
--            number
SELECT
    to_jsonb(v) AS "venue!",
    to_jsonb(s) AS "slot?",
    CASE WHEN v.has_floor
         THEN floor_state(v.venue_id, s.starts_at, s.starts_at + make_interval(hours => 32))
    END AS "floor?",
    prior.fingerprint AS "prior_fingerprint?",
    prior.resource_id AS "prior_resource_id?",
    waits.waitlist_entry_id AS "waiting_entry_id?",
    waits.status AS "waiting_status?",
    CASE WHEN $4 = 'CreateBooking'
         THEN (SELECT visits_after(p.customer_id, v.venue_id, $2, s.starts_at, NULL) FROM customer_of($6, $7) p)
    END AS "visits?",
    waitlist_position(v.venue_id, $2, $3, 9223372036854775807) AS "position!"
FROM venues v
LEFT JOIN slots s ON s.venue_id = v.venue_id AND s.slot_date = $2 AND s.start_time = $3
LEFT JOIN idempotency_keys prior ON prior.method = $4 AND prior.key = $5
LEFT JOIN LATERAL (
    SELECT w.waitlist_entry_id, w.status
    FROM waitlist_entries w
    WHERE w.customer_id = (SELECT p.customer_id FROM customer_of($6, $7) p) AND w.venue_id = v.venue_id
      AND w.slot_date = $2 AND w.status IN ('WAITING', 'OFFERED')
      AND (w.start_time = $3
           OR $3 BETWEEN COALESCE(w.from_time, w.start_time) AND COALESCE(w.until_time, w.start_time))
    LIMIT 1
) AS waits ON true
WHERE v.venue_id = $1
