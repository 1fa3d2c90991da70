-- CreateBooking for the calls that came while another statement ran. What create.sql says of order, of refusals and of a
-- lost race holds here too. Each request is taken or left by itself.
--
-- $1 to $24: an array for each value, an element for each request. The keys differ, and so do the contacts, if there are any.
--
-- A row for each request, by its place `n`. `verdict` is
--   created  the booking was made, with the columns of this row and those that were sent;
--   refused  nothing was written for it; `refusal` states why. The key is absent in the same snapshot;
--   alone    nothing was written for it, and create.sql must decide: the key was used, the customer must be drafted again,
--            or the slot changed between snapshot and lock or lacks the seats for all who want them.
-- If one request loses a race, a constraint refuses the whole statement, and every request runs alone.
--
-- All statements lock in this order: slots by key, customers by id, days of areas. A statement that waits too long for
-- a lock fails, so that one locked slot does not hold up the calls for others. Subqueries with LIMIT look one row up by its key; no
-- plan can read the whole table instead.
WITH request AS MATERIALIZED (
    SELECT r.*
    FROM (SELECT set_config('lock_timeout', '1s', true) AS it OFFSET 0) AS bound
    CROSS JOIN unnest(
        $1::text[], $2::bytea[], $3::uuid[], $4::date[], $5::time[], $6::integer[], $7::bigint[], $8::uuid[], $9::text[],
        $10::text[], $11::bytea[], $12::uuid[], $13::text[], $14::text[], $15::uuid[], $16::text[], $17::bytea[],
        $18::text[], $19::text[], $20::timestamptz[], $21::text[], $22::text[], $23::boolean[],
        $24::boolean[])
    WITH ORDINALITY AS r (
        key, fingerprint, venue_id, slot_date, start_time, party_size, expected_cents, new_customer_id, email_hashes,
        phone_hashes, contact_sealed, booking_id, confirmation_code, conversation_id, event_id, traceparent, details_sealed,
        source, destinations, now, phone_region, wanted_area,
        allows_duplicate, is_walk_in, n)
    WHERE bound.it <> ''
),
offer AS MATERIALIZED (            -- what the snapshot shows of each request, and why it cannot go on, if so
    SELECT r.*, person.customer_id AS known_id, place.time_zone, place.currency, place.hold_minutes, place.total_cents,
           place.deposit_cents, place.booking_terms, place.price_per_person_cents, place.figure, place.has_floor,
           place.is_marked, place.visit_ends_at, place.occupied_until, place.duplicate_id, place.duplicate_starts_at,
           CASE WHEN place.is_readable AND NOT used.it THEN COALESCE(place.refusal, CASE WHEN person.must_reseal THEN 'ALONE' END)
                ELSE 'ALONE'
           END AS refusal
    FROM request r
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM idempotency_keys k WHERE k.method = 'CreateBooking' AND k.key = r.key) AS it LIMIT 1
    ) AS used
    CROSS JOIN LATERAL (SELECT * FROM customer_of(r.email_hashes::bytea[], r.phone_hashes::bytea[]) LIMIT 1) AS person
    LEFT JOIN LATERAL (
        SELECT v.time_zone, v.currency, v.hold_minutes, s.price_per_person_cents, price.total_cents, why.refusal,
               CASE WHEN r.is_walk_in THEN 0 ELSE booking_deposit_cents(v, price.total_cents, r.party_size)
               END AS deposit_cents,
               COALESCE(
                   CASE WHEN r.is_walk_in AND why.refusal = 'INSUFFICIENT_NOTICE' THEN -30 END,
                   CASE WHEN why.refusal = 'PRICE_CHANGED' THEN price.total_cents END,
                   refusal_figure(why.refusal, v, s, r.party_size), it.open_seats) AS figure,
               CASE WHEN r.is_walk_in THEN walk_in_terms(v) ELSE venue_terms(v) END AS booking_terms,
               v.has_floor, s.has_floor AS is_marked, it.ends_at AS visit_ends_at,
               it.occupied_until, COALESCE(v.phone_region = r.phone_region, true) AS is_readable,
               other.booking_id AS duplicate_id, other.starts_at AS duplicate_starts_at
        FROM venues v
        LEFT JOIN slots s ON s.venue_id = r.venue_id AND s.slot_date = r.slot_date AND s.start_time = r.start_time
        -- a subquery, so that the function runs only where it is needed
        LEFT JOIN LATERAL (
            SELECT it.* FROM sitting(s, r.party_size, r.wanted_area) AS it WHERE v.has_floor AND s.venue_id IS NOT NULL OFFSET 0
        ) AS it ON true
        LEFT JOIN LATERAL (        -- only for a known customer
            SELECT d.booking_id, d.starts_at
            FROM duplicate_of(
                person.customer_id, r.venue_id, r.slot_date, s.starts_at, COALESCE(it.ends_at, s.ends_at),
                r.booking_id) AS d
            WHERE person.customer_id IS NOT NULL AND NOT r.allows_duplicate
            OFFSET 0
        ) AS other ON true
        CROSS JOIN LATERAL (       -- a plain column for the deposit
            SELECT CASE WHEN r.is_walk_in THEN s.price_per_person_cents * r.party_size
                        ELSE booking_total_cents(v, s.price_per_person_cents, r.party_size)
                   END AS total_cents
            LIMIT 1
        ) AS price
        CROSS JOIN LATERAL (
            SELECT COALESCE(
                CASE WHEN other.booking_id IS NOT NULL THEN 'DUPLICATE_BOOKING' END,
                CASE WHEN r.is_walk_in THEN walk_in_refusal(v, s, r.slot_date, r.party_size, r.now)
                     ELSE slot_refusal(v, s, r.slot_date, r.party_size, r.now)
                END,
                CASE WHEN it.open_seats IS NULL AND (v.has_floor OR r.wanted_area <> '') THEN 'AREA_NOT_FOUND'
                     WHEN it.open_seats < r.party_size THEN 'AREA_FULL'
                END,
                CASE WHEN price.total_cents <> r.expected_cents THEN 'PRICE_CHANGED' END
            ) AS refusal
            LIMIT 1
        ) AS why
        WHERE v.venue_id = r.venue_id
        LIMIT 1
    ) AS place ON true
),
seated AS MATERIALIZED (           -- row locks on the slots; in the order of arrival, as long as there are seats
    SELECT *
    FROM (
        SELECT o.*, s.starts_at, COALESCE(o.visit_ends_at, s.ends_at) AS ends_at, s.reserved, s.capacity,
               sum(o.party_size) OVER (PARTITION BY o.venue_id, o.slot_date, o.start_time ORDER BY o.n) AS seats
        FROM (SELECT * FROM offer WHERE refusal IS NULL ORDER BY venue_id, slot_date, start_time, n) AS o
        CROSS JOIN LATERAL (
            SELECT s.starts_at, s.ends_at, s.reserved, s.capacity, s.state, s.price_per_person_cents, s.has_floor
            FROM slots s
            WHERE s.venue_id = o.venue_id AND s.slot_date = o.slot_date AND s.start_time = o.start_time
            LIMIT 1
            FOR NO KEY UPDATE
        ) AS s
        WHERE s.state = 'OPEN' AND s.price_per_person_cents = o.price_per_person_cents AND s.has_floor = o.is_marked
    ) AS arrived
    WHERE reserved + seats <= capacity
),
-- Row locks: the customers are not erased or merged before this commits, and make no other booking. Of several requests
-- of one customer the first goes on, since none of them sees the rows of another. The last condition reads the locked
-- row, so it is checked after the lock.
known AS MATERIALIZED (
    SELECT who.n
    FROM (SELECT DISTINCT ON (known_id) * FROM seated WHERE known_id IS NOT NULL ORDER BY known_id, n) AS who
    CROSS JOIN LATERAL (
        SELECT c.customer_id
        FROM customers c
        WHERE c.customer_id = who.known_id AND c.erased_at IS NULL AND c.merged_into IS NULL
        LIMIT 1
        FOR NO KEY UPDATE
    ) AS c
    WHERE who.allows_duplicate
       OR NOT has_duplicate(c.customer_id, who.venue_id, who.slot_date, who.starts_at, who.ends_at, who.booking_id)
),
priced AS MATERIALIZED (
    SELECT *, COALESCE(known_id, new_customer_id) AS customer_id
    FROM seated
    WHERE known_id IS NULL OR n IN (SELECT n FROM known)
),
in_area AS MATERIALIZED (          -- one after the other, each sees the seats that those before it have taken
    SELECT ready.*, place.area, place.tables
    FROM (SELECT * FROM priced ORDER BY venue_id, slot_date, start_time, n) AS ready
    LEFT JOIN LATERAL (
        SELECT * FROM take_place(venue_id, wanted_area, starts_at, occupied_until, party_size) WHERE has_floor OFFSET 0
    ) AS place ON true
),
-- The gate: every step below depends on it. The computed columns of the bookings, and the first events of their hash
-- chains.
draft AS MATERIALIZED (
    SELECT p.*, status, hold_expires_at, confirmed_at, data,
           event_hash('', event_id, booking_id, 1, now, 'teppan.booking.created.v1', data) AS event_hash
    FROM (SELECT * FROM in_area WHERE area IS NOT NULL OR NOT has_floor) AS p
    CROSS JOIN LATERAL (
        SELECT CASE WHEN deposit_cents > 0 THEN 'PENDING' ELSE 'CONFIRMED' END AS status,
               CASE WHEN deposit_cents > 0 THEN LEAST(now + make_interval(mins => hold_minutes), starts_at)
               END AS hold_expires_at,
               CASE WHEN deposit_cents = 0 THEN now END AS confirmed_at
        LIMIT 1
    ) AS terms
    CROSS JOIN LATERAL (
        SELECT booking_created(
            booking_id, venue_id, slot_date, start_time, status, now, customer_id, conversation_id, confirmation_code,
            starts_at, ends_at, time_zone, party_size, price_per_person_cents, total_cents, deposit_cents, currency,
            hold_expires_at, area, occupied_until, tables, booking_terms) AS data
        LIMIT 1
    ) AS created
),
counted AS (                       -- from the locked row: see commit.sql
    UPDATE slots s
    SET reserved = taken.reserved + taken.seats
    FROM (
        SELECT venue_id, slot_date, start_time, reserved, sum(party_size)::integer AS seats
        FROM draft
        GROUP BY venue_id, slot_date, start_time, reserved
    ) AS taken
    WHERE s.venue_id = taken.venue_id AND s.slot_date = taken.slot_date AND s.start_time = taken.start_time
),
customer AS (
    INSERT INTO customers (
        customer_id, email_hash, phone_hash, contact_sealed, version, created_at, updated_at, is_anonymous)
    SELECT new_customer_id, (email_hashes::bytea[])[1], (phone_hashes::bytea[])[1], contact_sealed, 1, now, now,
           is_walk_in AND email_hashes = '{}' AND phone_hashes = '{}'
    FROM draft
    WHERE known_id IS NULL
    ORDER BY email_hashes, phone_hashes
    RETURNING customer_id
),
event AS (
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT event_id, booking_id, 1, 'teppan.booking.created.v1', now, data, traceparent, '' FROM draft
),
booking AS (
    INSERT INTO bookings (
        booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
        party_size, price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at, confirmed_at,
        conversation_id, details_sealed, source, version, event_hash, created_at, updated_at, area, occupied_until,
        tables, terms)
    SELECT booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
           party_size, price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at, confirmed_at,
           conversation_id, details_sealed, source, 1, event_hash, now, now, area, occupied_until, tables,
           booking_terms
    FROM draft
),
messages AS (                      -- one for each destination; no follow-up before the booking is confirmed
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT event_id, destination, booking_id, 1, traceparent, now, now
    FROM draft, unnest(destinations::text[]) AS destination
    WHERE destination <> 'conversation-service' OR status = 'CONFIRMED'
),
claim AS (                         -- no ON CONFLICT: a concurrent duplicate must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT 'CreateBooking', key, fingerprint, booking_id, now
    FROM draft
    WHERE (SELECT count(*) FROM customer) >= 0 -- customers are locked before keys
    ORDER BY key
)
-- What the service does not know of a booking: the rest of the row is as it sent it. A union, not a join of both: for
-- plain table columns, sqlx would query their names each time it prepares the statement.
SELECT n, 'created' AS verdict, refusal, figure, status, starts_at, ends_at, customer_id, price_per_person_cents,
       total_cents, deposit_cents, currency, hold_expires_at, confirmed_at, event_hash, time_zone, area, occupied_until,
       tables, booking_terms AS terms, NULL::uuid AS duplicate_id, NULL::timestamptz AS duplicate_starts_at
FROM draft
UNION ALL
SELECT n, CASE WHEN refusal <> 'ALONE' THEN 'refused' ELSE 'alone' END, refusal, figure, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, duplicate_id, duplicate_starts_at
FROM offer
WHERE n NOT IN (SELECT n FROM draft)
