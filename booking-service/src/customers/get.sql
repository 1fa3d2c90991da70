-- GetCustomer: with the customers merged into this one, and with $2 the number of bookings.
SELECT
    c.customer_id, c.email_hash AS "email_hash?", c.phone_hash AS "phone_hash?",
    c.contact_sealed AS "contact_sealed?", c.version,
    c.created_at, c.updated_at, c.erased_at AS "erased_at?", c.merged_into AS "merged_into?",
    (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.merged_at, m.customer_id)
     FROM customers m WHERE m.merged_into = c.customer_id) AS "merged?",
    CASE WHEN $2 THEN (SELECT count(*) FROM bookings b WHERE b.customer_id = c.customer_id) ELSE 0 END AS "booking_count!",
    (SELECT jsonb_agg(to_jsonb(k) ORDER BY k.purpose, k.channel) FROM customer_consents k
     WHERE k.customer_id = c.customer_id) AS "consents?: _"
FROM customers c
WHERE c.customer_id = $1
