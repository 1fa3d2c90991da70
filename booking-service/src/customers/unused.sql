-- The customers without bookings and waitlist entries among the 1,000 after the id $1 whose rows have not changed since
-- $2; not the merged ones, which are erased with the remaining one. Always one row; `last` is the last of the thousand,
-- null at the end of the table.
WITH page AS MATERIALIZED (
    SELECT customer_id, erased_at, merged_into, updated_at FROM customers WHERE customer_id > $1 ORDER BY customer_id LIMIT 1000
)
SELECT
    ARRAY(
        SELECT p.customer_id
        FROM page p
        WHERE p.erased_at IS NULL AND p.merged_into IS NULL AND p.updated_at < $2::timestamptz
          -- scalar subqueries, so that each looks up one row
          AND (SELECT 1 FROM bookings b WHERE b.customer_id = p.customer_id LIMIT 1) IS NULL
          AND (SELECT 1 FROM waitlist_entries w WHERE w.customer_id = p.customer_id LIMIT 1) IS NULL
        ORDER BY p.customer_id) AS "unused!",
    (SELECT p.customer_id FROM page p ORDER BY p.customer_id DESC LIMIT 1) AS "last?"
