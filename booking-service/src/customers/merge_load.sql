-- MergeCustomers: the two customers, the remaining one ($1) and the duplicate ($2), and what may be in the way.
SELECT
    c.customer_id, c.email_hash AS "email_hash?", c.phone_hash AS "phone_hash?",
    c.contact_sealed AS "contact_sealed?", c.version, c.merged_into AS "merged_into?",
    (SELECT count(*) FROM customers m WHERE m.merged_into = c.customer_id) AS "merged_count!",
    offered_twice($1, $2) AS "offered_twice?"
FROM customers c
WHERE c.customer_id IN ($1, $2)
