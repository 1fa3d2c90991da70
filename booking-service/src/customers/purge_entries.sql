-- Removes waitlist entries that ended before $1 without an offer, the oldest first, a bounded number.
--
-- Always one row; `more`: as many were removed as one run may remove. Concurrent replicas skip each other's locked rows.
WITH old AS (
    DELETE FROM waitlist_entries
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM waitlist_entries
        WHERE status IN ('LEFT', 'CLOSED') AND offered_at IS NULL AND updated_at < $1::timestamptz
        ORDER BY updated_at
        LIMIT 1000
        FOR UPDATE SKIP LOCKED))
    RETURNING $1 - updated_at AS overdue
)
SELECT
    count(*) AS "removed!",
    count(*) = 1000 AS "more!",
    COALESCE(EXTRACT(epoch FROM max(overdue)), 0)::double precision AS "overdue_seconds!"
FROM old
