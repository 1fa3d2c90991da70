-- Two customers who turn out to be one: the bookings and waitlist entries of the duplicate move to the remaining customer.

-- A pointer never leads to a merged customer, so one look-up follows it. merge_customers locks both customers, and sets
-- the pointers to the duplicate first; this trigger refuses everything else.
CREATE FUNCTION refuse_chain_of_merges() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (SELECT FROM customers c WHERE c.customer_id = NEW.merged_into AND c.merged_into IS NOT NULL)
       OR EXISTS (SELECT FROM customers c WHERE c.merged_into = NEW.customer_id)
    THEN
        RAISE EXCEPTION 'a customer is merged into a merged one'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'customer_merges_have_no_chain';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER customers_merged_once AFTER UPDATE OF merged_into ON customers
    FOR EACH ROW WHEN (NEW.merged_into IS NOT NULL)
    EXECUTE FUNCTION refuse_chain_of_merges();

-- The booking of the second customer's open offer for a slot for which the first one has an open offer too.
CREATE FUNCTION offered_twice(remaining uuid, duplicate uuid) RETURNS uuid LANGUAGE sql STABLE
RETURN (
    SELECT w.booking_id
    FROM waitlist_entries w
    JOIN waitlist_entries o ON o.customer_id = $1 AND o.venue_id = w.venue_id AND o.slot_date = w.slot_date
                           AND o.start_time = w.start_time
    -- selects OFFERED; written so that the index waitlist_entries_wait_once can be used
    WHERE w.customer_id = $2 AND w.status IN ('WAITING', 'OFFERED') AND w.offered_at IS NOT NULL
      AND o.status IN ('WAITING', 'OFFERED') AND o.offered_at IS NOT NULL
    LIMIT 1
);

-- MergeCustomers, one step in one transaction. Of each array, the first element is about the remaining customer and the
-- second about the duplicate: id, version that was read, and hashes and sealed contact of the next version. This is one
-- for both and greater than every earlier one, so that consents of the one replace older ones of the other.
--
-- `outcome`:
--   merged   everything has moved; the event is written;
--   more     at most `step_max` bookings or ended waitlist entries have moved, and there are more: call again. Until then
--            there are still two customers, and each booking belongs to one of them;
--   stale    nothing was written: one of the two has another version by now, or was merged or erased;
--   offered  nothing was written: both have an open offer for the same slot.
--
-- The function is volatile, so each statement has a snapshot of its own. After it has locked the customers it sees every
-- booking and entry that a running call has made meanwhile. CreateBooking and JoinWaitlist lock the customer that they
-- have found: a call that waits for the lock finds a merged customer, runs again, and finds the remaining one.
--
-- Deadlocks: an offer locks the entry before the customer, the other way round. PostgreSQL ends one of the two, and it is
-- run again.
CREATE FUNCTION merge_customers(
    ids uuid[], versions bigint[], next_version bigint, email_hashes bytea[], phone_hashes bytea[], contacts bytea[],
    moment timestamptz, new_event uuid, trace text, event_destinations text[], step_max integer,
    OUT outcome text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    remaining CONSTANT uuid := ids[1];
    duplicate CONSTANT uuid := ids[2];
    moved bigint;
BEGIN
    PERFORM FROM customers c WHERE c.customer_id = ANY (ids) ORDER BY c.customer_id FOR UPDATE;
    IF (SELECT count(*)
        FROM unnest(ids, versions) AS it (id, version)
        JOIN customers c ON c.customer_id = it.id AND c.version = it.version
        WHERE c.merged_into IS NULL AND c.erased_at IS NULL) < 2
    THEN
        outcome := 'stale';
        RETURN;
    END IF;
    IF offered_twice(remaining, duplicate) IS NOT NULL THEN
        outcome := 'offered';
        RETURN;
    END IF;

    WITH chosen AS MATERIALIZED (        -- in the order of their index; locked in the order in which every statement locks
        SELECT b.booking_id FROM bookings b WHERE b.customer_id = duplicate
        ORDER BY b.slot_date, b.start_time, b.booking_id LIMIT step_max
    ),
    moving AS MATERIALIZED (
        SELECT b.*
        FROM chosen JOIN bookings b USING (booking_id) ORDER BY b.booking_id FOR NO KEY UPDATE OF b
    ),
    event AS (
        INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
        SELECT gen_random_uuid(), booking_id, version + 1, 'teppan.booking.customer_changed.v1', moment,
               json_build_object(
                   'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date,
                   'start_time', left(start_time::text, 5), 'booking_version', (version + 1)::text,
                   'status', 'BOOKING_STATUS_' || status, 'occurred_at', moment, 'conversation_id', conversation_id,
                   'previous_customer_id', duplicate, 'customer_id', remaining),
               trace, event_hash
        FROM moving
        RETURNING event_id, booking_id, version, hash
    ),
    changed AS (
        UPDATE bookings b
        SET customer_id = remaining, version = event.version, event_hash = event.hash, updated_at = moment
        FROM event
        WHERE b.booking_id = event.booking_id
    ),
    message AS (
        INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
        SELECT event_id, d, booking_id::text, version, trace, moment, moment FROM event, unnest(event_destinations) AS d
    )
    SELECT count(*) INTO moved FROM event;
    IF moved < step_max THEN
        WITH chosen AS MATERIALIZED (
            SELECT w.waitlist_entry_id FROM waitlist_entries w
            WHERE w.customer_id = duplicate AND w.status NOT IN ('WAITING', 'OFFERED')
            ORDER BY w.queue_number LIMIT step_max
        )
        UPDATE waitlist_entries w SET customer_id = remaining FROM chosen WHERE w.waitlist_entry_id = chosen.waitlist_entry_id;
        GET DIAGNOSTICS moved = ROW_COUNT;
    END IF;
    IF moved = step_max THEN
        outcome := 'more';
        RETURN;
    END IF;

    -- A customer waits for a slot once: with an open offer, otherwise with the entry that joined first.
    UPDATE waitlist_entries w SET status = 'LEFT', details_sealed = NULL, updated_at = moment
    FROM waitlist_entries o
    WHERE w.customer_id = ANY (ids) AND w.status IN ('WAITING', 'OFFERED') AND w.offered_at IS NULL
      AND o.customer_id = CASE w.customer_id WHEN remaining THEN duplicate ELSE remaining END
      AND o.venue_id = w.venue_id AND o.slot_date = w.slot_date AND o.start_time = w.start_time
      AND o.status IN ('WAITING', 'OFFERED') AND (o.offered_at IS NOT NULL OR o.queue_number < w.queue_number);
    UPDATE waitlist_entries w SET customer_id = remaining, updated_at = moment WHERE w.customer_id = duplicate;
    -- The newer consent counts, and one for every channel replaces older ones for single channels; at the same moment, the
    -- one that declines. The history stays with the customer by whose id it was made.
    DELETE FROM customer_consents k USING customer_consents newer
    WHERE k.customer_id = ANY (ids) AND newer.customer_id = CASE k.customer_id WHEN remaining THEN duplicate ELSE remaining END
      AND newer.purpose = k.purpose AND newer.channel IN (k.channel, '')
      AND (newer.changed_at, NOT newer.granted, newer.customer_id = remaining)
          > (k.changed_at, NOT k.granted, k.customer_id = remaining);
    UPDATE customer_consents k SET customer_id = remaining WHERE k.customer_id = duplicate;
    UPDATE customers c SET merged_into = remaining WHERE c.merged_into = duplicate;
    -- The duplicate first: it gives up the e-mail and the number that the remaining customer takes.
    UPDATE customers c
    SET email_hash = email_hashes[2], phone_hash = phone_hashes[2], contact_sealed = contacts[2],
        version = next_version, updated_at = GREATEST(c.updated_at, moment), merged_into = remaining, merged_at = moment
    WHERE c.customer_id = duplicate;
    UPDATE customers c
    SET email_hash = email_hashes[1], phone_hash = phone_hashes[1], contact_sealed = contacts[1],
        version = next_version, updated_at = GREATEST(c.updated_at, moment)
    WHERE c.customer_id = remaining;
    -- The consent for every channel comes last: its delivery must cancel nothing that a channel's own consent allows.
    INSERT INTO customer_events (event_id, customer_id, version, type, occurred_at, data, traceparent)
    SELECT new_event, remaining, next_version, 'teppan.customer.merged.v1', moment,
           json_build_object(
               'customer_id', remaining, 'occurred_at', moment, 'merged_customer_id', duplicate,
               'customer_version', next_version::text,
               'consents', COALESCE(
                   json_agg(json_build_object(
                       'purpose', 'CONSENT_PURPOSE_' || k.purpose,
                       'channel', 'CONSENT_CHANNEL_' || COALESCE(NULLIF(k.channel, ''), 'UNSPECIFIED'),
                       'granted', k.granted) ORDER BY k.purpose, k.channel = '', k.channel),
                   '[]')),
           trace
    FROM customer_consents k WHERE k.customer_id = remaining;
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT new_event, d, remaining::text, next_version, trace, moment, moment FROM unnest(event_destinations) AS d
    UNION ALL
    -- Follow-ups keep the id by which they were scheduled. So the consents count for every id of the customer.
    SELECT new_event, 'conversation-service', one.id::text, next_version, trace, moment, moment
    FROM (SELECT remaining AS id UNION ALL SELECT c.customer_id FROM customers c WHERE c.merged_into = remaining) AS one
    WHERE EXISTS (SELECT FROM customer_consents k WHERE k.customer_id = remaining AND k.purpose <> 'ANALYTICS');
    outcome := 'merged';
END
$$;
