-- CreateBooking: creates a booking with all its rows, in one statement that commits by itself.
--
-- Always one row. `outcome` is
--   created    the booking below was made;
--   replayed   this key made the booking below earlier; compare `fingerprint`;
--   refused    nothing was written; `refusal` states why. The key is absent in the same snapshot, so no
--              concurrent duplicate can be the reason;
--              PHONE_REGION, with the venue's `phone_region`, never reaches the client: the national telephone
--              number was read with another region, $22, or with none, and must be read with this one;
--              CONTACT, with the known customer if there is one, never reaches the client either: see `must_reseal`
--              of customer_of in 0002_customers.sql;
--   contended  nothing was written: the slot changed between snapshot and lock. A concurrent duplicate may have
--              taken the seats, so the caller must run the statement again.
-- If the venue's floor has lost the seats between snapshot and lock, the statement fails on booking_area.
-- If a concurrent duplicate commits first, the last step fails on idempotency_keys_pkey. Then nothing was written, and
-- another run replays. If another call makes or changes the same customer first, the step `customer` fails on a
-- constraint of customers, and another run finds that customer. If another call makes an overlapping booking of the same
-- customer first, the statement fails on booking_is_no_duplicate, and another run is refused.
--
-- $23: the area that the party wants, empty for any. $24: whether the customer may have another booking at that time.
-- $25: whether it is a walk-in, which needs no notice, owes no deposit, minimum spend or fee, also after a change, and
-- may have no contact: then its customer is anonymous.
--
-- The contact: $9 and $10 the hashes of e-mail and number; $8, $11, $12 the row's id, sealed contact and version. Above
-- version 1 the row is the next version of a known customer.
--
-- Only the data that the steps read from one another orders them. Locks are taken first on the slot, then on the
-- customer, then on days of areas, as in every statement. No other transaction can wait for the booking before it exists.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, resource_id
    FROM idempotency_keys
    WHERE method = 'CreateBooking' AND key = $1
),
person AS MATERIALIZED (           -- the customer of this contact
    SELECT * FROM customer_of($9::bytea[], $10::bytea[])
),
offer AS MATERIALIZED (            -- the slot, its venue's policy, and the reason why it cannot be booked, if any
    SELECT v.time_zone, v.currency, v.hold_minutes, v.phone_region, s.price_per_person_cents, price.total_cents,
           CASE WHEN $25 THEN 0 ELSE booking_deposit_cents(v, price.total_cents, $6) END AS deposit_cents,
           v.has_floor, s.has_floor AS is_marked, it.ends_at, it.occupied_until, why.refusal,
           CASE WHEN $25 THEN walk_in_terms(v) ELSE venue_terms(v) END AS terms,
           COALESCE(
               CASE WHEN $25 AND why.refusal = 'INSUFFICIENT_NOTICE' THEN -30 END,
               CASE WHEN why.refusal = 'PRICE_CHANGED' THEN price.total_cents END,
               refusal_figure(why.refusal, v, s, $6), it.open_seats) AS figure,
           other.booking_id AS duplicate_id, other.starts_at AS duplicate_starts_at
    FROM venues v
    LEFT JOIN slots s ON s.venue_id = v.venue_id AND s.slot_date = $4 AND s.start_time = $5
    -- a subquery, so that the function runs only where it is needed
    LEFT JOIN LATERAL (
        SELECT it.* FROM sitting(s, $6, $23::text) AS it WHERE v.has_floor AND s.venue_id IS NOT NULL OFFSET 0
    ) AS it ON true
    LEFT JOIN LATERAL (            -- only for a known customer
        SELECT d.booking_id, d.starts_at
        FROM person p
        CROSS JOIN LATERAL duplicate_of(
            p.customer_id, $3, $4, s.starts_at, COALESCE(it.ends_at, s.ends_at), $13::uuid) AS d
        WHERE p.customer_id IS NOT NULL AND NOT $24::boolean
        OFFSET 0
    ) AS other ON true
    CROSS JOIN LATERAL (           -- a plain column for the deposit; the price is compared with the locked slot's
        SELECT CASE WHEN $25 THEN s.price_per_person_cents * $6
                    ELSE booking_total_cents(v, s.price_per_person_cents, $6)
               END AS total_cents
        OFFSET 0
    ) AS price
    CROSS JOIN LATERAL (
        SELECT COALESCE(
            CASE WHEN v.phone_region <> $22::text THEN 'PHONE_REGION' END,
            CASE WHEN other.booking_id IS NOT NULL THEN 'DUPLICATE_BOOKING' END,
            CASE WHEN $25::boolean THEN walk_in_refusal(v, s, $4::date, $6, $21::timestamptz)
                 ELSE slot_refusal(v, s, $4::date, $6, $21::timestamptz)
            END,
            CASE WHEN it.open_seats IS NULL AND (v.has_floor OR $23 <> '') THEN 'AREA_NOT_FOUND'
                 WHEN it.open_seats < $6 THEN 'AREA_FULL'
            END,
            CASE WHEN price.total_cents <> $7::bigint THEN 'PRICE_CHANGED' END,
            CASE WHEN $12::bigint = 1 AND (SELECT must_reseal FROM person) THEN 'CONTACT' END
        ) AS refusal
    ) AS why
    WHERE v.venue_id = $3 AND NOT EXISTS (SELECT FROM prior)
),
taken AS (                         -- the gate: the update sees the latest committed version of the row
    UPDATE slots s
    SET reserved = s.reserved + $6
    FROM offer o
    WHERE s.venue_id = $3 AND s.slot_date = $4 AND s.start_time = $5
      AND o.refusal IS NULL
      AND s.state = 'OPEN'
      AND s.price_per_person_cents = o.price_per_person_cents
      AND s.has_floor = o.is_marked
      AND s.reserved + $6 <= s.capacity
    RETURNING s.starts_at, COALESCE(o.ends_at, s.ends_at) AS ends_at, o.occupied_until, s.price_per_person_cents,
              o.total_cents, o.deposit_cents
),
-- Row lock: the customer is not erased or merged before this commits, and makes no other booking. The slot's lock does
-- not order bookings of overlapping slots.
known AS MATERIALIZED (
    SELECT c.customer_id
    FROM taken, customers c
    WHERE c.customer_id = (SELECT customer_id FROM person) AND $12::bigint = 1
      AND c.erased_at IS NULL AND c.merged_into IS NULL
    FOR NO KEY UPDATE OF c
),
customer AS (                      -- made, or the next version of a known one; version 0 is refused by a constraint
    INSERT INTO customers AS c (
        customer_id, email_hash, phone_hash, contact_sealed, version, created_at, updated_at, is_anonymous)
    SELECT $8::uuid, $9[1], $10[1], $11, $12::bigint, $21, $21, $25 AND $9 = '{}' AND $10 = '{}'
    FROM taken
    WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (customer_id) DO UPDATE
    SET email_hash = COALESCE(c.email_hash, EXCLUDED.email_hash),
        phone_hash = COALESCE(c.phone_hash, EXCLUDED.phone_hash),
        contact_sealed = EXCLUDED.contact_sealed,
        version = CASE WHEN c.version = EXCLUDED.version - 1 THEN EXCLUDED.version ELSE 0 END,
        updated_at = GREATEST(c.updated_at, EXCLUDED.updated_at)
    RETURNING customer_id
),
draft AS MATERIALIZED (            -- the computed columns of the booking
    SELECT
        who.customer_id, taken.*, offer.currency, offer.time_zone, offer.terms,
        CASE WHEN taken.deposit_cents > 0 THEN 'PENDING' ELSE 'CONFIRMED' END AS status,
        CASE WHEN taken.deposit_cents > 0
             THEN LEAST($21 + make_interval(mins => offer.hold_minutes), taken.starts_at)
        END AS hold_expires_at,
        CASE WHEN taken.deposit_cents = 0 THEN $21 END AS confirmed_at,
        -- '-' is no area: the statement fails
        CASE WHEN offer.has_floor THEN COALESCE(place.area, '-') END AS area, place.tables
    FROM taken, offer, (
        SELECT customer_id, true AS is_known FROM known
        UNION ALL
        SELECT customer_id, $12 > 1 FROM customer
    ) AS who
    LEFT JOIN LATERAL (
        SELECT * FROM take_place($3, $23, taken.starts_at, taken.occupied_until, $6) WHERE offer.has_floor OFFSET 0
    ) AS place ON true
    WHERE CASE WHEN who.is_known AND NOT $24
               THEN refuse_duplicate(who.customer_id, $3, $4, taken.starts_at, taken.ends_at, $13)
               ELSE true
          END
),
event AS (                         -- the first event of the booking's hash chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $16::uuid, $13, 1, 'teppan.booking.created.v1', $21,
           booking_created(
               $13, $3, $4, $5, status, $21, customer_id, $15::text, $14::text, starts_at, ends_at, time_zone, $6,
               price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at, area, occupied_until,
               tables, terms),
           $17, ''
    FROM draft
    RETURNING event_id, hash
),
booking AS (
    INSERT INTO bookings (
        booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
        party_size, price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at, confirmed_at,
        conversation_id, details_sealed, source, version, event_hash, created_at, updated_at, area, occupied_until,
        tables, terms)
    SELECT $13, $14, status, $3, $4, $5, starts_at, ends_at, customer_id,
           $6, price_per_person_cents, total_cents, deposit_cents, currency, hold_expires_at, confirmed_at,
           $15, $18, $19, 1, event.hash, $21, $21, area, occupied_until, tables, terms
    FROM draft, event
    RETURNING bookings.*
),
messages AS (                      -- one for each destination; no follow-up before the booking is confirmed
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT event.event_id, destination, $13, 1, $17, $21, $21
    FROM event, draft, unnest($20::text[]) AS destination
    WHERE destination <> 'conversation-service' OR draft.status = 'CONFIRMED'
),
claim AS (                         -- no ON CONFLICT: a concurrent duplicate must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT 'CreateBooking', $1, $2, booking_id, $21
    FROM booking
),
reply AS (
    SELECT 'created' AS outcome, booking.*, offer.time_zone, NULL::bytea AS fingerprint
    FROM booking, offer
    UNION ALL
    SELECT 'replayed', b.*, v.time_zone, prior.fingerprint
    FROM prior
    JOIN bookings b ON b.booking_id = prior.resource_id
    JOIN venues v ON v.venue_id = b.venue_id
)
SELECT
    CASE WHEN reply.outcome IS NOT NULL THEN reply.outcome
         WHEN offer.currency IS NULL OR offer.refusal IS NOT NULL THEN 'refused'
         ELSE 'contended'
    END AS verdict,
    -- the refusal, and the number that explains it
    CASE WHEN reply.outcome IS NULL AND offer.currency IS NULL THEN 'VENUE_NOT_FOUND' ELSE offer.refusal END AS refusal,
    -- expressions, not plain table columns: for those, sqlx would query their names each time it prepares the statement
    offer.figure + 0 AS figure,
    COALESCE(offer.phone_region) AS offered_phone_region,
    COALESCE(offer.duplicate_id) AS duplicate_id,
    COALESCE(offer.duplicate_starts_at) AS duplicate_starts_at,
    COALESCE(person.customer_id) AS known_customer_id,
    CASE WHEN offer.refusal = 'CONTACT' THEN person.version END AS known_version,
    CASE WHEN offer.refusal = 'CONTACT' THEN person.contact_sealed END AS known_contact_sealed,
    reply.*                        -- the booking, and the fingerprint
FROM person
LEFT JOIN offer ON true
LEFT JOIN reply ON true
