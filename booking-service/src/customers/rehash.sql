-- rotate-keys: a page of customers by id, after $1.
SELECT customer_id, version, email_hash AS "email_hash?", phone_hash AS "phone_hash?", contact_sealed AS "contact_sealed!"
FROM customers
WHERE customer_id > $1 AND contact_sealed IS NOT NULL
ORDER BY customer_id
LIMIT $2
