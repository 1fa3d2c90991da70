-- JoinWaitlist: adds a customer to the queue for a slot, in one statement that commits by itself.
--
-- Always one row. `outcome` is
--   joined     the entry below was made;
--   replayed   this key made the entry below earlier; compare `fingerprint`;
--   refused    nothing was written; `refusal` states why, with the `figure` that explains it. The key is absent in
--              the same snapshot, so no concurrent duplicate can be the reason;
--              PHONE_REGION, with the venue's `phone_region`, never reaches the client: the national telephone
--              number was read with another region, $19, or with none, and must be read with this one;
--              CONTACT, with the known customer if there is one, never reaches the client either: see `must_reseal`
--              of customer_of in 0002_customers.sql;
--   contended  nothing was written: seats came free, or something else changed, between snapshot and lock.
--              A concurrent duplicate may have joined, so the caller must run the statement again.
-- If a concurrent duplicate, or another call for the same customer, commits first, a step fails on
-- idempotency_keys_pkey, waitlist_entries_wait_once or a constraint of customers. Then nothing was written; another run shows the result.
--
-- $20: only look for an entry of this key. $7 to $11: the contact, as $8 to $12 of CreateBooking.
--
-- The slot, and the days of areas that are full, are locked before the statement decides that they are full; see
-- note_waitlist_opening.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, resource_id
    FROM idempotency_keys
    WHERE method = 'JoinWaitlist' AND key = $1
),
person AS MATERIALIZED (           -- the customer of this contact
    SELECT * FROM customer_of($8::bytea[], $9::bytea[])
),
offer AS MATERIALIZED (            -- the slot, its venue's policy, and the reason why the customer cannot wait, if any
    SELECT
        v AS venue, slot.refusal AS slot_refusal, room.capacity, s.capacity - s.reserved AS open_seats,
        s.has_floor AS is_marked,
        waits.waitlist_entry_id AS waiting_entry_id, waits.status AS waiting_status,
        CASE WHEN v.phone_region <> $19::text THEN 'PHONE_REGION'
             WHEN slot.refusal <> 'SLOT_FULL' THEN slot.refusal
             WHEN waits.waitlist_entry_id IS NOT NULL THEN 'ALREADY_WAITING'
             WHEN slot.refusal IS NULL AND room.is_open THEN 'SLOT_AVAILABLE'
             WHEN $6 > room.capacity THEN 'PARTY_EXCEEDS_CAPACITY'
             WHEN $11::bigint = 1 AND (SELECT must_reseal FROM person) THEN 'CONTACT'
        END AS refusal
    FROM venues v
    LEFT JOIN slots s ON s.venue_id = v.venue_id AND s.slot_date = $4 AND s.start_time = $5
    CROSS JOIN LATERAL (SELECT slot_refusal(v, s, $4::date, $6::integer, $17::timestamptz) AS refusal) AS slot
    LEFT JOIN LATERAL (            -- of the slot and, if the venue has a floor, of its areas
        SELECT LEAST(s.capacity, CASE WHEN v.has_floor THEN largest_area(v.venue_id) END) AS capacity,
               NOT v.has_floor OR has_room(s, $6, false) AS is_open
        WHERE s.venue_id IS NOT NULL
    ) AS room ON true
    LEFT JOIN LATERAL (
        SELECT w.waitlist_entry_id, w.status
        FROM waitlist_entries w
        -- a subquery, because a join might read the whole queue to find the customer
        WHERE w.customer_id = (SELECT person.customer_id FROM person)
          AND w.venue_id = $3 AND w.slot_date = $4 AND w.status IN ('WAITING', 'OFFERED')
          -- an offer may have been moved out of its window
          AND (w.start_time = $5
               OR $5 BETWEEN COALESCE(w.from_time, w.start_time) AND COALESCE(w.until_time, w.start_time))
        LIMIT 1
    ) AS waits ON true
    WHERE v.venue_id = $3 AND NOT EXISTS (SELECT FROM prior) AND NOT $20::boolean
),
locked AS MATERIALIZED (           -- row lock; sees the latest committed version
    SELECT s AS slot, o.venue, o.capacity
    FROM offer o
    JOIN slots s ON s.venue_id = $3 AND s.slot_date = $4 AND s.start_time = $5
    WHERE o.refusal IS NULL AND s.has_floor = o.is_marked
    FOR NO KEY UPDATE OF s
),
queue AS MATERIALIZED (            -- the gate: the locked slot or the locked areas are full too, and large enough
    SELECT (slot).starts_at - make_interval(mins => (venue).notice_minutes) AS bookable_until
    FROM locked
    WHERE $6 <= (slot).capacity AND $6 <= capacity
      AND CASE slot_refusal(venue, slot, $4, $6, $17)
              WHEN 'SLOT_FULL' THEN true
              ELSE slot_refusal(venue, slot, $4, $6, $17) IS NULL AND (venue).has_floor AND NOT has_room(slot, $6, true)
          END
      -- a call for a window that has locked the slot before is not in the snapshot
      AND waitlist_place((SELECT person.customer_id FROM person), $3, $4, $5, $5) IS NULL
),
known AS MATERIALIZED (            -- row lock: the customer is not erased or merged before this commits
    SELECT c.customer_id
    FROM queue, customers c
    WHERE c.customer_id = (SELECT person.customer_id FROM person) AND $11::bigint = 1
      AND c.erased_at IS NULL AND c.merged_into IS NULL
    FOR KEY SHARE OF c
),
customer AS (                      -- made, or the next version of a known one; version 0 is refused by a constraint
    INSERT INTO customers AS c (customer_id, email_hash, phone_hash, contact_sealed, version, created_at, updated_at)
    SELECT $7::uuid, $8[1], $9[1], $10, $11::bigint, $17, $17
    FROM queue
    WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (customer_id) DO UPDATE
    SET email_hash = COALESCE(c.email_hash, EXCLUDED.email_hash),
        phone_hash = COALESCE(c.phone_hash, EXCLUDED.phone_hash),
        contact_sealed = EXCLUDED.contact_sealed,
        version = CASE WHEN c.version = EXCLUDED.version - 1 THEN EXCLUDED.version ELSE 0 END,
        updated_at = GREATEST(c.updated_at, EXCLUDED.updated_at)
    RETURNING customer_id
),
entry AS (                         -- with the id of the booking that an offer will create
    INSERT INTO waitlist_entries (
        waitlist_entry_id, status, venue_id, slot_date, start_time, customer_id, party_size, conversation_id,
        details_sealed, source, traceparent, booking_id, bookable_until, created_at, updated_at)
    SELECT $12::uuid, 'WAITING', $3, $4, $5, customer_id, $6, $14, $15, $16, $18, $13::uuid, bookable_until, $17, $17
    FROM queue, (SELECT * FROM known UNION ALL SELECT * FROM customer) AS who
    RETURNING waitlist_entries.*
),
claim AS (                         -- no ON CONFLICT: a concurrent duplicate must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT 'JoinWaitlist', $1, $2, waitlist_entry_id, $17
    FROM entry
),
reply AS (
    SELECT 'joined' AS outcome, entry.*, NULL::bytea AS fingerprint FROM entry
    UNION ALL
    SELECT 'replayed', w.*, prior.fingerprint
    FROM prior
    JOIN waitlist_entries w ON w.waitlist_entry_id = prior.resource_id
)
SELECT
    CASE WHEN reply.outcome IS NOT NULL THEN reply.outcome
         WHEN offer.venue IS NULL OR offer.refusal IS NOT NULL THEN 'refused'
         ELSE 'contended'
    END AS "outcome!",
    -- the refusal, and the number that explains it
    CASE WHEN reply.outcome IS NULL AND offer.venue IS NULL THEN 'VENUE_NOT_FOUND' ELSE offer.refusal END AS "refusal?",
    CASE offer.refusal
        WHEN 'SLOT_AVAILABLE' THEN offer.open_seats
        WHEN 'PARTY_EXCEEDS_CAPACITY' THEN offer.capacity
        WHEN 'INSUFFICIENT_NOTICE' THEN (offer.venue).notice_minutes
        WHEN 'TOO_FAR_AHEAD' THEN (offer.venue).horizon_days
        WHEN 'PARTY_TOO_SMALL' THEN (offer.venue).min_party_size
        WHEN 'PARTY_TOO_LARGE' THEN (offer.venue).max_party_size
    END AS "figure?",
    (offer.venue).phone_region AS "phone_region?",
    person.customer_id AS "known_customer_id?",
    CASE WHEN offer.refusal = 'CONTACT' THEN person.version END AS "known_version?",
    CASE WHEN offer.refusal = 'CONTACT' THEN person.contact_sealed END AS "known_contact_sealed?",
    offer.waiting_entry_id AS "waiting_entry_id?",
    offer.waiting_status AS "waiting_status?",
    -- the entry
    reply.fingerprint AS "fingerprint?",
    reply.waitlist_entry_id AS "waitlist_entry_id?",
    reply.status AS "status?",
    reply.venue_id AS "venue_id?",
    reply.slot_date AS "slot_date?",
    reply.start_time AS "start_time?",
    (SELECT s.starts_at FROM slots s
     WHERE s.venue_id = reply.venue_id AND s.slot_date = reply.slot_date AND s.start_time = reply.start_time
    ) AS "starts_at?",
    (SELECT v.time_zone FROM venues v WHERE v.venue_id = reply.venue_id) AS "time_zone?",
    reply.party_size AS "party_size?",
    CASE WHEN reply.status = 'WAITING'
         THEN waitlist_position(reply.venue_id, reply.slot_date, reply.start_time, reply.queue_number)
         ELSE 0
    END AS "position?",
    reply.customer_id AS "customer_id?",
    reply.conversation_id AS "conversation_id?",
    CASE WHEN reply.offered_at IS NOT NULL THEN reply.booking_id END AS "booking_id?",
    offered.hold_expires_at AS "offer_expires_at?",
    reply.created_at AS "created_at?",
    reply.updated_at AS "updated_at?",
    reply.from_time AS "from_time?",
    reply.until_time AS "until_time?",
    reply.areas AS "areas?",
    offered.total_cents AS "offered_total_cents?",
    offered.currency AS "offered_currency?",
    offered.area AS "offered_area?"
FROM person
LEFT JOIN offer ON true
LEFT JOIN reply ON true
LEFT JOIN LATERAL (
    SELECT b.* FROM bookings b WHERE b.booking_id = reply.booking_id AND reply.status = 'OFFERED' LIMIT 1
) AS offered ON true
