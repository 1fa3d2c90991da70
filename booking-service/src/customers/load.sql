-- Loads a customer to decide a change, and who else has the wanted e-mail ($2) or telephone number ($3), by their hashes
-- under every key of the ring.
SELECT
    c.customer_id, c.email_hash AS "email_hash?", c.phone_hash AS "phone_hash?",
    c.contact_sealed AS "contact_sealed?", c.version,
    (SELECT o.customer_id FROM customers o WHERE o.email_hash = ANY ($2::bytea[]) AND o.customer_id <> $1 LIMIT 1) AS "email_of?",
    (SELECT o.customer_id FROM customers o WHERE o.phone_hash = ANY ($3::bytea[]) AND o.customer_id <> $1 LIMIT 1) AS "phone_of?"
FROM customers c
WHERE c.customer_id = $1
