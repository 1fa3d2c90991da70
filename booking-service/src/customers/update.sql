-- UpdateCustomer: the next version of a customer, with its event and messages. No row: the customer has another version
-- than $2 by now, and nothing was written.
--   $3, $4 the hashes, $5 the sealed contact, $6 now; $7 to $10 the event: id, type, data, traceparent; $11 destinations
WITH customer AS (
    UPDATE customers
    SET email_hash = $3, phone_hash = $4, contact_sealed = $5, version = version + 1,
        updated_at = GREATEST(updated_at, $6::timestamptz)
    WHERE customer_id = $1 AND version = $2 AND erased_at IS NULL
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
