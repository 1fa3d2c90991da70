-- SetConsent: records a consent as the customer's next version, with its history, event and messages. No row: the
-- customer has another version than $2 by now, and nothing was written.
--   $3 the sealed contact, $4 now; $5 to $8 the event: id, type, data, traceparent; $9 destinations
--   $10 purpose, $11 channel ('' is every one), $12 granted, $13 source, $14 the name of the caller's credential
--   $15 the ids for which conversation-service records it
WITH customer AS (
    UPDATE customers
    SET contact_sealed = $3, version = version + 1, updated_at = GREATEST(updated_at, $4::timestamptz)
    WHERE customer_id = $1 AND version = $2 AND erased_at IS NULL
    RETURNING customer_id, version
),
replaced AS (                      -- the version shows that no record has changed since this snapshot
    DELETE FROM customer_consents k
    USING customer c
    WHERE k.customer_id = c.customer_id AND k.purpose = $10 AND k.channel <> '' AND $11 = ''
),
consent AS (
    INSERT INTO customer_consents (customer_id, purpose, channel, granted, source, changed_at)
    SELECT customer_id, $10::text, $11::text, $12::boolean, $13::text, $4 FROM customer
    ON CONFLICT (customer_id, purpose, channel) DO UPDATE
    SET granted = EXCLUDED.granted, source = EXCLUDED.source, changed_at = EXCLUDED.changed_at
),
change AS (
    INSERT INTO customer_consent_changes (customer_id, version, purpose, channel, granted, source, changed_at, changed_by)
    SELECT customer_id, version, $10, $11, $12, $13, $4, $14 FROM customer
),
event AS (
    INSERT INTO customer_events (event_id, customer_id, version, type, occurred_at, data, traceparent)
    SELECT $5::uuid, customer_id, version, $6, $4, $7::text::json, $8 FROM customer
),
message AS (
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT $5, destination, customer_id::text, version, $8, $4, $4 FROM customer, unnest($9::text[]) AS destination
    UNION ALL
    SELECT $5, 'conversation-service', id, version, $8, $4, $4 FROM customer, unnest($15::text[]) AS id
)
SELECT customer_id FROM customer
