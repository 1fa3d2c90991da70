-- rotate-keys: the hashes ($3, $4) and the sealed contact ($5) of one customer under the newest key. A customer that has
-- changed since it was read, and has another version ($2), is left to the next run.
UPDATE customers
SET email_hash = $3, phone_hash = $4, contact_sealed = $5
WHERE customer_id = $1 AND version = $2 AND erased_at IS NULL
RETURNING customer_id
