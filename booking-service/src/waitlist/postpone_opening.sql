-- Waitlist offers: the slot whose offer failed is tried again at $2, and others go on meanwhile.
--
-- No row: no note is due. Otherwise one, the slot. What failed does not tell which slot it was: it is the first
-- that is due and that nobody has locked, as it was for the attempt. Should another process have taken that
-- one in between, the next waits for nothing, once.
WITH oldest AS MATERIALIZED (
    SELECT venue_id, slot_date, start_time
    FROM waitlist_openings
    WHERE next_attempt_at <= $1::timestamptz
    ORDER BY next_attempt_at, opening_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
notes AS MATERIALIZED (
    SELECT o.opening_id
    FROM oldest
    JOIN waitlist_openings o USING (venue_id, slot_date, start_time)
    ORDER BY o.opening_id
    LIMIT 1000
    FOR UPDATE OF o SKIP LOCKED
),
postponed AS (
    UPDATE waitlist_openings o
    SET next_attempt_at = $2::timestamptz
    FROM notes
    WHERE o.opening_id = notes.opening_id
)
SELECT venue_id, slot_date, start_time FROM oldest
