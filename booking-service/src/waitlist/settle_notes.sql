-- Waitlist offers: notes that were claimed are done ($1), or are due at $3 ($2). `is_parked`: nothing can be offered
-- before that.
WITH kept AS (
    UPDATE waitlist_openings
    SET next_attempt_at = $3::timestamptz, noted_at = CASE WHEN $4::boolean THEN $3 ELSE noted_at END
    WHERE opening_id = ANY ($2::bigint[])
)
DELETE FROM waitlist_openings WHERE opening_id = ANY ($1::bigint[]) RETURNING opening_id
