-- Waitlist offers: removes the claimed notes $1, and postpones the claimed notes $2 to $3. $4: nothing can be offered
-- before $3, so the lag counts from there.
WITH kept AS (
    UPDATE waitlist_openings
    SET next_attempt_at = $3::timestamptz, noted_at = CASE WHEN $4::boolean THEN $3 ELSE noted_at END
    WHERE opening_id = ANY ($2::bigint[])
)
DELETE FROM waitlist_openings WHERE opening_id = ANY ($1::bigint[]) RETURNING opening_id
