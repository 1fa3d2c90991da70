-- ListPayments: in the order of recording, strictly after the cursor position ($4, $5).
--
-- The booking ($1), if given, selects the index; the other branch does not run. At most $6 rows are scanned; rows that
-- do not match the other filters are skipped. If the scan ends at that limit, the last scanned row is returned even if
-- it does not match, so that the next page starts after it.
WITH scanned AS NOT MATERIALIZED (
    (SELECT p.* FROM payments p
     WHERE $1::uuid IS NOT NULL AND p.booking_id = $1
       AND (p.created_at, p.payment_id) > ($4::timestamptz, $5::uuid)
     ORDER BY p.created_at, p.payment_id
     LIMIT $6::bigint)
    UNION ALL
    (SELECT p.* FROM payments p
     WHERE $1 IS NULL
       AND (p.created_at, p.payment_id) > ($4::timestamptz, $5::uuid)
     ORDER BY p.created_at, p.payment_id
     LIMIT $6::bigint)
),
numbered AS NOT MATERIALIZED (
    SELECT
        l.*,
        row_number() OVER (ORDER BY l.created_at, l.payment_id) AS scan_number,
        ($2::text IS NULL OR l.kind = $2) AND ($3::text[] IS NULL OR l.status = ANY ($3)) AS matches
    FROM scanned l
)
SELECT n.*
FROM numbered n
WHERE n.matches OR n.scan_number = $6
ORDER BY n.created_at, n.payment_id
LIMIT $7
