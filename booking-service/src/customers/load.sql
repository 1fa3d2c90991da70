-- Loads a customer to decide a change, and who else has the wanted e-mail ($2) or telephone number ($3), by their hashes
-- under every key of the ring: customers who were merged into this one, and would give it up, and others.
SELECT
    c.customer_id, c.email_hash AS "email_hash?", c.phone_hash AS "phone_hash?",
    c.contact_sealed AS "contact_sealed?", c.version, c.merged_into AS "merged_into?",
    (SELECT jsonb_agg(to_jsonb(m))
     FROM customers m
     WHERE m.merged_into = $1 AND (m.email_hash = ANY ($2::bytea[]) OR m.phone_hash = ANY ($3::bytea[]))) AS "giving?",
    (SELECT COALESCE(o.merged_into, o.customer_id) FROM customers o
     WHERE o.email_hash = ANY ($2) AND $1 <> COALESCE(o.merged_into, o.customer_id) LIMIT 1) AS "email_of?",
    (SELECT COALESCE(o.merged_into, o.customer_id) FROM customers o
     WHERE o.phone_hash = ANY ($3) AND $1 <> COALESCE(o.merged_into, o.customer_id) LIMIT 1) AS "phone_of?"
FROM customers c
WHERE c.customer_id = $1
