-- ListPayments: in the order of recording, behind the place of $4 and $5.
--
-- With a booking ($1) its own index is gone by, otherwise that of all; the other branch is not run. Rows that
-- the other filters do not want are passed over, but no more than $6 rows are looked at. Then the last row
-- looked at is in the answer too, wanted or not, so that the next page goes on from there.
WITH looked_at AS NOT MATERIALIZED (
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
judged AS NOT MATERIALIZED (
    SELECT
        l.*,
        row_number() OVER (ORDER BY l.created_at, l.payment_id) AS place,
        ($2::text IS NULL OR l.kind = $2) AND ($3::text[] IS NULL OR l.status = ANY ($3)) AS wanted
    FROM looked_at l
)
SELECT j.*
FROM judged j
WHERE j.wanted OR j.place = $6
ORDER BY j.created_at, j.payment_id
LIMIT $7
