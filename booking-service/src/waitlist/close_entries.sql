-- Waitlist closing: closes entries whose slot can no longer be booked.
--
-- One row: how many entries were checked and how many were closed. At most 48, the longest due first. Entries that
-- another transaction has locked are left to the next run. The slot's current start and the venue's current notice
-- decide: an entry that may wait longer gets the new `bookable_until`. The limit is less than the rows that the planner
-- expects in a table without statistics, so that it reads the index in order instead of sorting all of them.
WITH due AS MATERIALIZED (
    SELECT waitlist_entry_id, venue_id, slot_date, COALESCE(from_time, start_time) AS from_time,
           COALESCE(until_time, start_time) AS until_time
    FROM waitlist_entries
    WHERE status = 'WAITING' AND bookable_until < $1::timestamptz
    ORDER BY bookable_until
    LIMIT 48
    FOR NO KEY UPDATE SKIP LOCKED
),
checked AS MATERIALIZED (
    SELECT due.waitlist_entry_id, s.starts_at - make_interval(mins => v.notice_minutes) AS bookable_until
    FROM due
    CROSS JOIN LATERAL (           -- the last slot that the entry waits for
        SELECT s.starts_at
        FROM slots s
        WHERE s.venue_id = due.venue_id AND s.slot_date = due.slot_date
          AND s.start_time BETWEEN due.from_time AND due.until_time
        ORDER BY s.start_time DESC
        LIMIT 1
    ) AS s
    JOIN venues v USING (venue_id)
),
entry AS (
    UPDATE waitlist_entries w
    SET status = CASE WHEN c.bookable_until < $1 THEN 'CLOSED' ELSE w.status END,
        details_sealed = CASE WHEN c.bookable_until >= $1 THEN w.details_sealed END,
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
