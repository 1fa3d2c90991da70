-- Bookings $1 to $2 with their events, as the service's own statements leave them. Of ten seven are firm,
-- one waits for its deposit, one was firm and then cancelled, and one ran out of its hold.
-- $3: how many venues there are; $4: how many customers; $5: the first day; $6: how many days; $7: starts a day;
-- $8: the sealed details of each.
WITH draft AS MATERIALIZED (       -- a slot and a customer at random
    SELECT
        lpad(to_hex(n), 32, '0')::uuid AS booking_id,
        -- scattered, and of a form that neither the service nor pgbench makes
        lpad(to_hex((n * 26544357619) & 68719476735), 9, '0') || 'Z' AS confirmation_code,
        (ARRAY['CONFIRMED', 'CONFIRMED', 'CONFIRMED', 'CONFIRMED', 'CONFIRMED', 'CONFIRMED', 'CONFIRMED',
               'PENDING', 'CANCELLED', 'EXPIRED'])[1 + n % 10] AS status,
        n % 10 < 7 OR n % 10 = 8 AS firm,
        s.venue_id, s.slot_date, s.start_time, s.starts_at, s.ends_at, s.price_per_person_cents, v.time_zone, v.currency,
        lpad(to_hex(1 + floor(random() * $4::bigint)::bigint), 32, '0')::uuid AS customer_id,
        party_size, s.price_per_person_cents * party_size AS total_cents,
        CASE WHEN n % 10 IN (7, 9) THEN (s.price_per_person_cents * party_size * v.deposit_percent + 50) / 100
             ELSE 0
        END AS deposit_cents,
        'chat-' || lpad(to_hex(n), 32, '0') AS conversation_id,
        n, now() - interval '1 day' AS created_at, now() - interval '1 hour' AS changed_at
    FROM (
        SELECT n, 1 + floor(random() * 6)::integer AS party_size,
               lpad(to_hex(1 + floor(random() * $3::integer)::bigint), 32, '0')::uuid AS venue_id,
               $5::date + floor(random() * $6::integer)::integer AS slot_date,
               time '11:00' + floor(random() * $7::integer) * interval '30 minutes' AS start_time
        FROM generate_series($1::bigint, $2::bigint) AS n
    ) AS chosen
    JOIN slots s USING (venue_id, slot_date, start_time)
    JOIN venues v USING (venue_id)
),
created AS (                       -- the first link of each chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
    SELECT ('1' || lpad(to_hex(n), 31, '0'))::uuid, booking_id, 1, 'teppan.booking.created.v1', created_at,
           json_build_object(
               'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', left(start_time::text, 5),
               'booking_version', 1, 'status', 'BOOKING_STATUS_' || CASE WHEN firm THEN 'CONFIRMED' ELSE 'PENDING' END,
               'occurred_at', created_at, 'customer_id', customer_id, 'conversation_id', conversation_id,
               'confirmation_code', confirmation_code, 'starts_at', starts_at, 'ends_at', ends_at,
               'time_zone', time_zone, 'party_size', party_size, 'price_per_person_cents', price_per_person_cents,
               'total_cents', total_cents, 'deposit_cents', deposit_cents, 'currency', currency,
               'hold_expires_at', CASE WHEN NOT firm THEN starts_at END),
           ''
    FROM draft
    RETURNING booking_id, hash
),
ended AS (                         -- the second, of those that were given up
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
    SELECT ('2' || lpad(to_hex(n), 31, '0'))::uuid, booking_id, 2, 'teppan.booking.' || lower(status) || '.v1', changed_at,
           json_strip_nulls(json_build_object(
               'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date, 'start_time', left(start_time::text, 5),
               'booking_version', 2, 'status', 'BOOKING_STATUS_' || status, 'occurred_at', changed_at,
               'conversation_id', conversation_id, 'party_size', party_size,
               'cancelled_by', CASE status WHEN 'CANCELLED' THEN 'CANCELLATION_INITIATOR_CUSTOMER' END,
               'paid_cents', 0, 'refund_due_cents', 0, 'currency', currency)),
           created.hash
    FROM draft
    JOIN created USING (booking_id)
    WHERE status IN ('CANCELLED', 'EXPIRED')
    RETURNING booking_id, hash
),
keys AS (                          -- of the newest: the others' are no longer kept
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT 'CreateBooking', booking_id::text, sha256(int8send(n)), booking_id, created_at
    FROM draft
    WHERE n % 30 = 0
)
INSERT INTO bookings (
    booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id, party_size,
    price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at, confirmed_at, cancelled_at,
    cancelled_by, conversation_id, details_sealed, source, version, event_hash, created_at, updated_at)
SELECT booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id, party_size,
       price_per_person_cents, total_cents, deposit_cents, currency, CASE status WHEN 'PENDING' THEN starts_at END,
       CASE WHEN firm THEN created_at END, CASE status WHEN 'CANCELLED' THEN changed_at END,
       CASE status WHEN 'CANCELLED' THEN 'CUSTOMER' END, conversation_id,
       ($8::bytea[])[n - $1 + 1], 'web-chat',
       CASE WHEN ended.hash IS NULL THEN 1 ELSE 2 END, COALESCE(ended.hash, created.hash), created_at,
       CASE WHEN ended.hash IS NULL THEN created_at ELSE changed_at END
FROM draft
JOIN created USING (booking_id)
LEFT JOIN ended USING (booking_id)
