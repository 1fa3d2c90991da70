-- JoinWaitlist for a part of a day: adds a customer to the waitlist of every slot from $5 to $20, in one statement that
-- commits by itself. Parameters and answers are those of join.sql, with $20 the latest start, $21 the wished areas (null:
-- any) and $22: write nothing. In addition, `outcome` is
--   existing   the customer has the live entry below, which overlaps the window: one customer has one place;
--   valid      with $22: the entry would be made, in the slot `start_time`.
-- SLOT_AVAILABLE: a slot of the window can be booked now, in a wished area. Other reasons to refuse a slot refuse the
-- call only if they hold for every slot of the window; then it is the one of the first slot.
--
-- All slots of the window, which are those of one day, are locked in the order of their starts, as commit.sql locks
-- slots, before the statement decides that they are full; see note_waitlist_opening. So two calls for overlapping
-- windows take turns, and waitlist_place sees the entry of the first.
WITH prior AS MATERIALIZED (       -- has this key been used?
    SELECT fingerprint, resource_id
    FROM idempotency_keys
    WHERE method = 'JoinWaitlist' AND key = $1
),
person AS MATERIALIZED (           -- the customer of this contact
    SELECT * FROM customer_of($8::bytea[], $9::bytea[])
),
venue AS MATERIALIZED (
    SELECT v AS venue, v.has_floor FROM venues v WHERE v.venue_id = $3 AND NOT EXISTS (SELECT FROM prior)
),
slot AS MATERIALIZED (
    SELECT s.slot, (s.slot).start_time, (s.slot).starts_at, (s.slot).capacity - (s.slot).reserved AS open_seats,
           LEAST((s.slot).capacity, CASE WHEN has_floor THEN largest_area_in($3, $21::text[]) END) AS capacity, why.refusal,
           why.refusal IS NULL AND (NOT has_floor OR has_room_in(s.slot, $6, $21::text[], false)) AS is_available,
           COALESCE(why.refusal, 'SLOT_FULL') = 'SLOT_FULL' AS can_wait
    FROM venue
    CROSS JOIN LATERAL (
        SELECT s AS slot
        FROM slots s
        WHERE s.venue_id = $3 AND s.slot_date = $4::date AND s.start_time BETWEEN $5::time AND $20::time
    ) AS s
    CROSS JOIN LATERAL (SELECT slot_refusal(venue, s.slot, $4, $6::integer, $17::timestamptz) AS refusal) AS why
),
place AS MATERIALIZED (            -- the customer's live entry that overlaps the window
    SELECT w.*
    FROM waitlist_entries w
    WHERE w.waitlist_entry_id = (
        SELECT waitlist_place((SELECT person.customer_id FROM person), $3, $4, $5, $20) FROM venue)
),
offer AS MATERIALIZED (
    SELECT
        venue, open.open_seats, most.capacity,
        CASE WHEN (venue).phone_region <> $19::text THEN 'PHONE_REGION'
             WHEN first.start_time IS NULL THEN slot_refusal(venue, NULL::slots, $4, $6, $17)
             WHEN most.capacity IS NULL THEN first.refusal
             WHEN EXISTS (
                 SELECT FROM unnest($21) AS wished
                 WHERE has_floor AND NOT EXISTS (SELECT FROM areas a WHERE a.venue_id = $3 AND a.area = wished)
             ) THEN 'AREA_NOT_FOUND'
             WHEN EXISTS (SELECT FROM place) THEN 'ALREADY_WAITING'
             WHEN open.start_time IS NOT NULL THEN 'SLOT_AVAILABLE'
             WHEN $6 > most.capacity THEN 'PARTY_EXCEEDS_CAPACITY'
             WHEN $11::bigint = 1 AND (SELECT must_reseal FROM person) THEN 'CONTACT'
        END AS refusal
    FROM venue
    LEFT JOIN (SELECT * FROM slot ORDER BY start_time LIMIT 1) AS first ON true
    LEFT JOIN (SELECT * FROM slot WHERE is_available ORDER BY start_time LIMIT 1) AS open ON true
    CROSS JOIN (SELECT max(capacity) AS capacity FROM slot WHERE can_wait) AS most
),
locked AS MATERIALIZED (           -- row locks; they see the latest committed versions
    SELECT s AS slot
    FROM slots s
    WHERE s.venue_id = $3 AND s.slot_date = $4 AND s.start_time BETWEEN $5 AND $20
      AND EXISTS (SELECT FROM offer WHERE refusal IS NULL) AND NOT $22::boolean
    ORDER BY s.start_time
    FOR NO KEY UPDATE
),
checked AS MATERIALIZED (
    SELECT (l.slot).start_time, (l.slot).starts_at, (l.slot).capacity,
           -- SetFloor has marked the slot since the snapshot, or the slot is new
           COALESCE((l.slot).has_floor <> (
               SELECT (o.slot).has_floor FROM slot o WHERE o.start_time = (l.slot).start_time), true)
               OR why.refusal IS NULL AND (NOT has_floor OR has_room_in(l.slot, $6, $21, true)) AS is_obstacle,
           COALESCE(why.refusal, 'SLOT_FULL') = 'SLOT_FULL' AS can_wait
    FROM venue
    CROSS JOIN locked AS l
    CROSS JOIN LATERAL (SELECT slot_refusal(venue, l.slot, $4, $6, $17) AS refusal) AS why
    ORDER BY (l.slot).start_time
),
queue AS MATERIALIZED (            -- the gate: no locked slot has the seats, one is large enough, and there is no other place
    SELECT min(start_time) FILTER (WHERE can_wait) AS start_time,
           max(starts_at) FILTER (WHERE can_wait)
               - make_interval(mins => (SELECT (venue).notice_minutes FROM venue)) AS bookable_until
    FROM checked
    HAVING bool_or(can_wait AND $6 <= capacity) AND NOT bool_or(is_obstacle)
       AND waitlist_place((SELECT person.customer_id FROM person), $3, $4, $5, $20) IS NULL
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
        details_sealed, source, traceparent, booking_id, bookable_until, created_at, updated_at, from_time, until_time,
        areas)
    SELECT $12::uuid, 'WAITING', $3, $4, start_time, customer_id, $6, $14::text, $15::bytea, $16::text, $18::text,
           $13::uuid, bookable_until, $17, $17, $5, $20, $21
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
    UNION ALL
    SELECT 'existing', place.*, NULL FROM place, offer WHERE offer.refusal = 'ALREADY_WAITING'
)
SELECT
    CASE WHEN reply.outcome IS NOT NULL THEN reply.outcome
         WHEN offer.venue IS NULL OR offer.refusal IS NOT NULL THEN 'refused'
         WHEN $22 THEN 'valid'
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
    NULL::uuid AS "waiting_entry_id?",
    NULL::text AS "waiting_status?",
    -- the entry; with $22 its slot only
    reply.fingerprint AS "fingerprint?",
    reply.waitlist_entry_id AS "waitlist_entry_id?",
    reply.status AS "status?",
    reply.venue_id AS "venue_id?",
    reply.slot_date AS "slot_date?",
    COALESCE(reply.start_time, (SELECT min(start_time) FROM slot WHERE can_wait)) AS "start_time?",
    COALESCE(
        (SELECT s.starts_at FROM slots s
         WHERE s.venue_id = reply.venue_id AND s.slot_date = reply.slot_date AND s.start_time = reply.start_time),
        (SELECT min(starts_at) FROM slot WHERE can_wait)) AS "starts_at?",
    (SELECT v.time_zone FROM venues v WHERE v.venue_id = $3) AS "time_zone?",
    reply.party_size AS "party_size?",
    CASE WHEN reply.status = 'WAITING'
         THEN waitlist_position(reply.venue_id, reply.slot_date, reply.start_time, reply.queue_number)
         WHEN reply.status IS NULL AND $22
         THEN waitlist_position($3, $4, (SELECT min(start_time) FROM slot WHERE can_wait), 9223372036854775807)
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
