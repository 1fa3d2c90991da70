-- FindCustomer: by the keyed hashes of the e-mail ($1) or of the telephone number ($2), one for each key of the ring. The
-- other array is empty. An erased customer has no hash; a merged one stands for the remaining customer.
SELECT
    c.customer_id, c.email_hash AS "email_hash?", c.phone_hash AS "phone_hash?",
    c.contact_sealed AS "contact_sealed?", c.version,
    c.created_at, c.updated_at, c.erased_at AS "erased_at?", c.merged_into AS "merged_into?",
    (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.merged_at, m.customer_id)
     FROM customers m WHERE m.merged_into = c.customer_id) AS "merged?",
    (SELECT count(*) FROM bookings b WHERE b.customer_id = c.customer_id) AS "booking_count!",
    (SELECT jsonb_agg(to_jsonb(k) ORDER BY k.purpose, k.channel) FROM customer_consents k
     WHERE k.customer_id = c.customer_id) AS "consents?: _"
FROM customers c
WHERE c.customer_id = COALESCE(
    (SELECT COALESCE(e.merged_into, e.customer_id) FROM customers e WHERE e.email_hash = ANY ($1::bytea[]) LIMIT 1),
    (SELECT COALESCE(p.merged_into, p.customer_id) FROM customers p WHERE p.phone_hash = ANY ($2::bytea[]) LIMIT 1))
