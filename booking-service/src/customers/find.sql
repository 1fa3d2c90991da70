-- FindCustomer: by the keyed hashes of the normalised e-mail, one for each key of the ring. An erased customer has no hash.
SELECT
    c.customer_id, c.email_hash AS "email_hash?", c.phone_hash AS "phone_hash?",
    c.contact_sealed AS "contact_sealed?", c.version,
    c.created_at, c.updated_at, c.erased_at AS "erased_at?",
    (SELECT count(*) FROM bookings b WHERE b.customer_id = c.customer_id) AS "booking_count!"
FROM customers c
WHERE c.email_hash = ANY ($1::bytea[])
