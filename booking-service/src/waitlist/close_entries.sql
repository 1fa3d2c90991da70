-- Waitlist closing: entries whose slot can no longer be booked end.
--
-- One row: how many were looked at and how many ended. Those whose time was over first, 64 at most; what
-- somebody else has locked is left to the next run. What the slot's start and the venue's notice say now is
-- what counts: whoever may wait for longer gets the new time.
WITH due AS MATERIALIZED (
    SELECT waitlist_entry_id, venue_id, slot_date, start_time
    FROM waitlist_entries
    WHERE status = 'WAITING' AND bookable_until < $1::timestamptz
    ORDER BY bookable_until
    LIMIT 64
    FOR NO KEY UPDATE SKIP LOCKED
),
checked AS MATERIALIZED (
    SELECT due.waitlist_entry_id, s.starts_at - make_interval(mins => v.notice_minutes) AS bookable_until
    FROM due
    JOIN slots s USING (venue_id, slot_date, start_time)
    JOIN venues v USING (venue_id)
),
entry AS (
    UPDATE waitlist_entries w
    SET status = CASE WHEN c.bookable_until < $1 THEN 'CLOSED' ELSE w.status END,
        special_requests_sealed = CASE WHEN c.bookable_until >= $1 THEN w.special_requests_sealed END,
        bookable_until = c.bookable_until,
        updated_at = CASE WHEN c.bookable_until < $1 THEN $1 ELSE w.updated_at END
    FROM checked c
    WHERE w.waitlist_entry_id = c.waitlist_entry_id
    RETURNING w.status, w.bookable_until
)
SELECT
    count(*) AS "looked_at!",
    count(*) FILTER (WHERE status = 'CLOSED') AS "closed!",
    min(bookable_until) FILTER (WHERE status = 'CLOSED') AS "first_due?"
FROM entry
