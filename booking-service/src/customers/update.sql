-- UpdateCustomer: the next version of a customer, with its event and messages. No row: the customer has another version
-- than $2 by now, and nothing was written. If a merged customer has changed, the statement fails on customer_version.
--   $3, $4 the hashes, $5 the sealed contact, $6 now; $7 to $10 the event: id, type, data, traceparent; $11 destinations
--   $12 - $16 the merged customers who give up what this one takes: id, next version, whether the e-mail and the number
--   are taken, sealed contact
WITH customer_before AS MATERIALIZED (     -- row lock; sees the latest committed version
    SELECT customer_id, version FROM customers WHERE customer_id = $1 FOR UPDATE
),
gave AS (
    UPDATE customers m
    SET email_hash = CASE WHEN NOT it.email_taken THEN m.email_hash END,
        phone_hash = CASE WHEN NOT it.phone_taken THEN m.phone_hash END,
        contact_sealed = it.contact_sealed, updated_at = GREATEST(m.updated_at, $6::timestamptz),
        version = CASE WHEN m.version = it.version - 1 AND m.merged_into = $1 THEN it.version ELSE 0 END
    FROM customer_before,
        unnest($12::uuid[], $13::bigint[], $14::boolean[], $15::boolean[], $16::bytea[])
            AS it (customer_id, version, email_taken, phone_taken, contact_sealed)
    WHERE m.customer_id = it.customer_id AND customer_before.version = $2
    RETURNING m.customer_id
),
customer AS (                              -- after `gave`: each e-mail and number is in one row only
    UPDATE customers
    SET email_hash = $3, phone_hash = $4, contact_sealed = $5, version = version + 1,
        updated_at = GREATEST(updated_at, $6::timestamptz)
    WHERE customer_id = $1 AND version = $2 AND erased_at IS NULL AND (SELECT count(*) FROM gave) >= 0
    RETURNING customer_id, version
),
event AS (
    INSERT INTO customer_events (event_id, customer_id, version, type, occurred_at, data, traceparent)
    SELECT $7::uuid, customer_id, version, $8, $6, $9::text::json, $10 FROM customer
),
message AS (
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT $7, destination, customer_id, version, $10, $6, $6 FROM customer, unnest($11::text[]) AS destination
)
SELECT customer_id FROM customer
