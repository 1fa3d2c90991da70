-- The events of customers, and the erasure of their personal data.

-- The events of each customer. `data` is the published event as JSON: ids and numbers, no personal data. `version` is
-- that of the customer after the change. A contact that a booking adds to has no event, so versions may have gaps.
CREATE TABLE customer_events (
    event_id     uuid        PRIMARY KEY,
    customer_id  uuid        NOT NULL REFERENCES customers,
    version      bigint      NOT NULL CONSTRAINT customer_event_version CHECK (version >= 1),
    type         text        NOT NULL,
    occurred_at  timestamptz NOT NULL,
    data         json        NOT NULL,
    traceparent  text,
    CONSTRAINT customer_events_version_key UNIQUE (customer_id, version)
);

-- The events of all outbox messages. That of a checkpoint has all of the checkpoint but its entries.
CREATE OR REPLACE VIEW outbox_events AS
SELECT event_id, type, occurred_at, data FROM booking_events
UNION ALL
SELECT event_id, type, occurred_at, data FROM customer_events
UNION ALL
SELECT event_id, 'teppan.audit.checkpoint_written.v1', created_at,
       json_build_object('number', number::text, 'digest', encode(digest, 'hex'), 'event_count', event_count::text,
                         'booking_count', booking_count::text, 'created_at', created_at)
FROM event_checkpoints;

-- The conversations that only this customer's bookings and waitlist entries name, at most `at_most` (NULL: all). A
-- conversation that another customer names too stays until that customer is erased as well.
CREATE FUNCTION conversations_of_customer(id uuid, at_most integer) RETURNS text[] LANGUAGE sql VOLATILE
RETURN ARRAY(
    SELECT own.conversation_id
    FROM (
        SELECT b.conversation_id FROM bookings b WHERE b.customer_id = $1
        UNION
        SELECT w.conversation_id FROM waitlist_entries w WHERE w.customer_id = $1
    ) AS own
    WHERE own.conversation_id <> ''
      AND NOT EXISTS (
          SELECT
          FROM bookings b
          WHERE b.conversation_id = own.conversation_id AND b.conversation_id <> '' AND b.customer_id <> $1
            AND b.erased_at IS NULL)
      AND NOT EXISTS (
          SELECT
          FROM waitlist_entries w
          JOIN customers c ON c.customer_id = w.customer_id
          WHERE w.conversation_id = own.conversation_id AND w.conversation_id <> '' AND w.customer_id <> $1
            AND c.erased_at IS NULL)
    ORDER BY own.conversation_id
    LIMIT $2
);

-- EraseCustomer, in one transaction. The function is volatile, so each statement has a snapshot of its own: after it has
-- locked the customer, it sees every booking and entry that a running call has made meanwhile; later calls wait for the
-- lock and then find no customer by the hashes.
--
-- `outcome`: erased, now or before; live, with the number of future live bookings, used, or merged, with the customer
-- into whom it was merged, and nothing was written; missing. The customers who were merged into it are erased too. With `unused_since`, only a customer without bookings and waitlist entries is erased, whose row has not changed
-- since then; any other one is used.
-- `conversation_ids`: at most 1,000 of those that no other customer names. Each of them becomes a message to
-- conversation-service.
--
-- Deadlocks: an offer locks the entry before the customer, the other way round. PostgreSQL ends one of the two, and it is
-- run again.
CREATE FUNCTION erase_customer(
    whom uuid, moment timestamptz, new_event uuid, trace text, event_destinations text[], unused_since timestamptz,
    OUT outcome text, OUT erased timestamptz, OUT bookings bigint, OUT conversation_ids text[], OUT merged uuid)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_version bigint;
    live bigint;
    deleted text[];
    merged_ids uuid[];
    delivered_until timestamptz;
BEGIN
    -- One erasure at a time: of two customers who share a conversation, the later one sees that the earlier one is erased
    -- and deletes the conversation.
    PERFORM pg_advisory_xact_lock(hashtextextended('erase_customer', 0));
    SELECT c.version + 1, c.erased_at, c.merged_into INTO now_version, erased, merged
    FROM customers c WHERE c.customer_id = whom FOR UPDATE;
    bookings := (SELECT count(*) FROM bookings b WHERE b.customer_id = whom);
    IF now_version IS NULL THEN
        outcome := 'missing';
        RETURN;
    ELSIF erased IS NOT NULL THEN
        outcome := 'erased';
        conversation_ids := conversations_of_customer(whom, 1000);
        RETURN;
    ELSIF merged IS NOT NULL THEN
        outcome := 'merged';
        RETURN;
    END IF;
    IF unused_since IS NOT NULL
       AND (bookings > 0
            OR EXISTS (SELECT FROM waitlist_entries w WHERE w.customer_id = whom)
            OR EXISTS (SELECT FROM customers c WHERE c.customer_id = whom AND c.updated_at >= unused_since))
    THEN
        outcome := 'used';
        RETURN;
    END IF;
    -- The bookings in the order in which every statement locks them.
    PERFORM FROM bookings b WHERE b.customer_id = whom ORDER BY b.booking_id FOR NO KEY UPDATE;
    live := (SELECT count(*) FROM bookings b
             WHERE b.customer_id = whom AND b.status IN ('PENDING', 'CONFIRMED') AND b.starts_at > moment);
    IF live > 0 THEN
        outcome := 'live';
        bookings := live;
        RETURN;
    END IF;
    outcome := 'erased';
    erased := moment;
    deleted := conversations_of_customer(whom, NULL);
    conversation_ids := deleted[1:1000];
    UPDATE bookings b SET details_sealed = NULL, erased_at = moment WHERE b.customer_id = whom AND b.erased_at IS NULL;
    UPDATE waitlist_entries w SET status = 'LEFT', details_sealed = NULL, updated_at = moment
    WHERE w.customer_id = whom AND w.status = 'WAITING';
    UPDATE customers c
    SET email_hash = NULL, phone_hash = NULL, contact_sealed = NULL, version = now_version, updated_at = moment, erased_at = moment
    WHERE c.customer_id = whom;
    WITH erased_too AS (
        UPDATE customers c
        SET email_hash = NULL, phone_hash = NULL, contact_sealed = NULL, version = c.version + 1, updated_at = moment,
            erased_at = moment
        WHERE c.merged_into = whom
        RETURNING c.customer_id
    )
    SELECT array_agg(customer_id ORDER BY customer_id) INTO merged_ids FROM erased_too;
    -- The tables are in 0009_consents.sql.
    DELETE FROM customer_consents k WHERE k.customer_id = whom;
    UPDATE customer_consent_changes h SET source = ''
    WHERE h.customer_id = ANY (array_append(merged_ids, whom)) AND h.source <> '';
    -- Calls that are still to be made would only schedule follow-ups and record consents that are deleted. One that is
    -- being made may arrive until its lease ends; the deletion comes after it.
    WITH cancelled AS (
        DELETE FROM outbox_messages m
        WHERE m.aggregate_id = ANY (ARRAY(
                SELECT b.booking_id::text FROM bookings b WHERE b.customer_id = whom
                UNION ALL
                SELECT id::text FROM unnest(array_append(merged_ids, whom)) AS id))
          AND m.destination = 'conversation-service'
        RETURNING m.lease_expires_at
    )
    SELECT max(lease_expires_at) INTO delivered_until FROM cancelled;
    INSERT INTO customer_events (event_id, customer_id, version, type, occurred_at, data, traceparent)
    VALUES (new_event, whom, now_version, 'teppan.customer.erased.v1', moment,
            json_build_object('customer_id', whom, 'occurred_at', moment, 'bookings_kept', bookings::text,
                              'conversation_ids', to_json(conversation_ids),
                              'merged_customer_ids', COALESCE(to_json(merged_ids), '[]')),
            trace);
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT new_event, d, whom::text, now_version, trace, moment, moment
    FROM unnest(event_destinations) AS d
    UNION ALL
    -- One message for each conversation, so that no delivery takes long.
    SELECT new_event, 'conversation-service', whom::text || '/' || c, now_version, trace, moment,
           GREATEST(moment, delivered_until)
    FROM unnest(deleted) AS c
    UNION ALL
    -- The consents and follow-ups of the customer and of those merged into it, also in conversations that stay.
    SELECT new_event, 'conversation-service', id::text, now_version, trace, moment, GREATEST(moment, delivered_until)
    FROM unnest(array_append(merged_ids, whom)) AS id
    WHERE merged_ids IS NOT NULL
       OR EXISTS (SELECT FROM customer_consent_changes h WHERE h.customer_id = whom)
       OR EXISTS (SELECT FROM bookings b WHERE b.customer_id = whom AND b.conversation_id <> '');
END
$$;
