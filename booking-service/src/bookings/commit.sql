-- Commits decisions about bookings, each completely or not at all: one statement for every kind of change.
--   $1 bookings: the loaded "version", 0 for a new one, the new row, null if only payments change, and whether it
--      "reseals" the details and "forbids_duplicate", another booking of its customer at that time
--   $2 seats: above 0 they are taken, from an open slot with the price, start and floor mark of the loaded one, or, with
--      nulls, from the booking's own slot in any state; below 0 they are freed, with nulls. With each, the area and
--      the tables of the venue's floor, if it has one, and for how long
--   $3 events, with the destinations of their messages; $5 idempotency keys; $6 now
--   $4 payments: the loaded "revision", null for a new one, and the new row
-- Returns a row for each committed booking. The others are stale: another version, erased since, a slot that has changed
-- or lacks the seats for the batch, a duplicate, a payment with another revision, or an entry that no longer waits. If a
-- key or an id exists, the statement fails and nothing was written.
-- All statements lock in this order: bookings by id, slots by key, customers, payments, entries, days of areas.
-- `reserved` is computed from the locked row: PostgreSQL would check constraints on a row computed from the snapshot's
-- version first.
WITH change AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS it (booking_id uuid, version bigint, booking jsonb, reseals boolean,
        forbids_duplicate boolean)
),
target AS MATERIALIZED (           -- row locks; they see the latest committed versions
    SELECT b.booking_id, b.version, b.erased_at FROM change JOIN bookings b USING (booking_id) ORDER BY b.booking_id FOR NO KEY UPDATE OF b
),
fresh AS MATERIALIZED (
    SELECT c.*, (c.booking ->> 'waitlist_entry_id')::uuid AS entry_id
    FROM change c LEFT JOIN target t USING (booking_id) WHERE COALESCE(t.version, 0) = c.version
      AND (t.erased_at IS NULL OR c.booking IS NULL OR c.booking ->> 'erased_at' IS NOT NULL) -- erasing raises no version
),
seat AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS it (booking_id uuid, venue_id uuid, slot_date date, start_time time,
        seats integer, price_per_person_cents bigint, starts_at timestamptz, has_floor boolean, area text, since timestamptz,
        until timestamptz, is_forced boolean, tables text[]) JOIN fresh USING (booking_id)
),
slot AS MATERIALIZED (
    SELECT s.*
    FROM (SELECT DISTINCT venue_id, slot_date, start_time FROM seat) AS key JOIN slots s USING (venue_id, slot_date, start_time)
    ORDER BY s.venue_id, s.slot_date, s.start_time FOR NO KEY UPDATE OF s
),
shut AS MATERIALIZED (             -- bookings whose seats cannot be taken
    SELECT seat.booking_id
    FROM seat
    LEFT JOIN slot USING (venue_id, slot_date, start_time)
    JOIN (SELECT venue_id, slot_date, start_time, sum(seats) AS seats FROM seat GROUP BY 1, 2, 3) AS wanted
        USING (venue_id, slot_date, start_time)
    WHERE slot.venue_id IS NULL OR seat.starts_at IS NOT NULL
           AND (slot.state, slot.starts_at, slot.price_per_person_cents, slot.has_floor)
               <> ('OPEN', seat.starts_at, seat.price_per_person_cents, seat.has_floor)
        OR seat.seats > 0 AND wanted.seats > 0 AND slot.reserved + wanted.seats > slot.capacity
),
-- Row locks on the customers whose bookings must not overlap: CreateBooking takes the same lock. The condition reads the
-- locked row, so it is checked after the lock and sees what was committed before it.
duplicate AS MATERIALIZED (
    SELECT moved.booking_id
    FROM (
        SELECT r.booking_id, r.customer_id, r.venue_id, r.slot_date, r.starts_at, r.ends_at
        FROM fresh CROSS JOIN LATERAL jsonb_populate_record(NULL::bookings, fresh.booking) AS r
        WHERE fresh.forbids_duplicate AND (SELECT count(*) FROM slot) >= 0
        ORDER BY r.customer_id
    ) AS moved
    CROSS JOIN LATERAL (
        SELECT c.customer_id FROM customers c WHERE c.customer_id = moved.customer_id LIMIT 1 FOR NO KEY UPDATE
    ) AS c
    WHERE has_duplicate(
        c.customer_id, moved.venue_id, moved.slot_date, moved.starts_at, moved.ends_at, moved.booking_id)
),
payment AS MATERIALIZED (
    SELECT it.*, (it.payment ->> 'payment_id')::uuid AS payment_id
    FROM jsonb_to_recordset($4::jsonb) AS it (booking_id uuid, revision bigint, payment jsonb) JOIN fresh USING (booking_id)
),
charge AS MATERIALIZED (
    SELECT p.payment_id, p.revision
    FROM payment JOIN payments p USING (payment_id)
    WHERE (SELECT count(*) FROM slot) >= 0 AND (SELECT count(*) FROM duplicate) >= 0
    ORDER BY p.payment_id FOR NO KEY UPDATE OF p
),
entry AS MATERIALIZED (            -- the waitlist entries of new bookings that are offers; a merge may have moved one
    SELECT w.waitlist_entry_id, CASE WHEN w.customer_id = (fresh.booking ->> 'customer_id')::uuid THEN w.status ELSE 'MOVED' END AS status
    FROM fresh JOIN waitlist_entries w ON w.waitlist_entry_id = fresh.entry_id
    WHERE fresh.version = 0 AND (SELECT count(*) FROM slot) >= 0 ORDER BY w.waitlist_entry_id FOR NO KEY UPDATE OF w
),
done AS MATERIALIZED (             -- the gate: every step below depends on it
    SELECT fresh.*
    FROM fresh LEFT JOIN entry ON entry.waitlist_entry_id = fresh.entry_id
    WHERE COALESCE(entry.status, 'WAITING') = 'WAITING' AND booking_id NOT IN (SELECT booking_id FROM shut)
      AND booking_id NOT IN (SELECT booking_id FROM duplicate)
      AND NOT EXISTS (SELECT FROM payment LEFT JOIN charge USING (payment_id)
                      WHERE payment.booking_id = fresh.booking_id AND payment.revision <> COALESCE(charge.revision, 0))
),
moved AS MATERIALIZED (
    SELECT slot.venue_id, slot.slot_date, slot.start_time, slot.reserved + sum(seat.seats)::integer AS reserved
    FROM done JOIN seat USING (booking_id) JOIN slot USING (venue_id, slot_date, start_time)
    GROUP BY 1, 2, 3, slot.reserved
),
counted AS (                       -- seats can be freed even if the slot was miscounted
    UPDATE slots s SET reserved = GREATEST(moved.reserved, 0) FROM moved
    WHERE (s.venue_id, s.slot_date, s.start_time) = (moved.venue_id, moved.slot_date, moved.start_time)
),
day AS MATERIALIZED (              -- row locks on the days of areas, in one order; a day without a row is empty
    SELECT d.day
    FROM (
        SELECT DISTINCT seat.venue_id, seat.area, day
        FROM done JOIN seat USING (booking_id)
        CROSS JOIN LATERAL (SELECT f.* FROM floors f WHERE f.venue_id = seat.venue_id LIMIT 1) AS f
        CROSS JOIN LATERAL generate_series(
            floor(first_tick(f, seat.since) / (1440.0 / f.tick_minutes))::integer,
            floor(last_tick(f, seat.until) / (1440.0 / f.tick_minutes))::integer) AS day
        ORDER BY 1, 2, 3
    ) AS key
    CROSS JOIN LATERAL (
        SELECT d.day
        FROM area_days d
        WHERE d.venue_id = key.venue_id AND d.day = key.day AND (d.area = key.area OR key.area IS NULL)
        ORDER BY d.area
        LIMIT 20
        FOR NO KEY UPDATE
    ) AS d
),
settled AS MATERIALIZED (          -- the seats of the floor; fails if an area lacks them. Freed seats first
    SELECT settle_area(seat.venue_id, seat.area, seat.since, seat.until, seat.seats, seat.is_forced, seat.tables)
    FROM done JOIN seat USING (booking_id) JOIN slot USING (venue_id, slot_date, start_time)
    WHERE (slot.has_floor OR (SELECT true FROM floors f WHERE f.venue_id = seat.venue_id LIMIT 1))
      AND (SELECT count(*) FROM day) >= 0
    ORDER BY seat.seats > 0, seat.area, seat.since
),
offered AS (
    UPDATE waitlist_entries w SET status = 'OFFERED', offered_at = $6::timestamptz, details_sealed = NULL, updated_at = $6,
        start_time = (done.booking ->> 'start_time')::time -- one of the entry's window
    FROM done WHERE w.waitlist_entry_id = done.entry_id AND done.version = 0
),
created AS (
    INSERT INTO bookings SELECT r.* FROM done, jsonb_populate_record(NULL::bookings, done.booking) AS r WHERE done.version = 0
),
changed AS (
    UPDATE bookings b SET status = r.status, slot_date = r.slot_date, start_time = r.start_time, starts_at = r.starts_at,
        ends_at = r.ends_at, party_size = r.party_size, price_per_person_cents = r.price_per_person_cents,
        total_cents = r.total_cents, deposit_cents = r.deposit_cents, paid_cents = r.paid_cents,
        refunded_cents = r.refunded_cents, refund_due_cents = r.refund_due_cents, disputed_cents = r.disputed_cents,
        kept_cents = r.kept_cents, hold_expires_at = r.hold_expires_at, unpaid_hold_expires_at = r.unpaid_hold_expires_at,
        confirmed_at = r.confirmed_at, cancelled_at = r.cancelled_at, cancelled_by = r.cancelled_by, area = r.area,
        occupied_until = r.occupied_until, tables = r.tables, retained_cents = r.retained_cents,
        refund_base_cents = r.refund_base_cents, extras_cents = r.extras_cents, refund_percent_max = r.refund_percent_max,
        guest_confirmed_at = r.guest_confirmed_at, seated_at = r.seated_at, no_show_fee_cents = r.no_show_fee_cents,
        details_sealed = CASE WHEN done.reseals THEN r.details_sealed ELSE b.details_sealed END, -- of rotate-keys, perhaps
        version = r.version, event_hash = r.event_hash, updated_at = r.updated_at
    FROM done, jsonb_populate_record(NULL::bookings, done.booking) AS r
    WHERE b.booking_id = done.booking_id AND done.version > 0 AND done.booking IS NOT NULL
),
event AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($3::jsonb) AS it (event_id uuid, booking_id uuid, version bigint, type text, data text,
        occurred_at timestamptz, traceparent text, previous_hash bytea, destinations jsonb)
    WHERE booking_id IN (SELECT booking_id FROM done)
),
appended AS (
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT event_id, booking_id, version, type, occurred_at, data::json, traceparent, previous_hash FROM event ORDER BY 2, 3
),
message AS (
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT event_id, d, booking_id, version, traceparent, $6, $6 FROM event, jsonb_array_elements_text(destinations) AS d
),
paid AS (
    INSERT INTO payments SELECT r.*
    FROM done JOIN payment USING (booking_id), jsonb_populate_record(NULL::payments, payment.payment) AS r
    WHERE payment.revision IS NULL
),
corrected AS (
    UPDATE payments p SET status = r.status, amount_cents = r.amount_cents, refunded_cents = r.refunded_cents,
        disputed_cents = r.disputed_cents, facts = r.facts, hold_until = r.hold_until, occurred_at = r.occurred_at,
        charge_id = r.charge_id, revision = p.revision + 1, updated_at = r.updated_at
    FROM done JOIN payment USING (booking_id), jsonb_populate_record(NULL::payments, payment.payment) AS r
    WHERE p.payment_id = payment.payment_id AND payment.revision IS NOT NULL
),
keyed AS (                         -- no ON CONFLICT: a concurrent duplicate must undo every step above
    INSERT INTO idempotency_keys (method, key, fingerprint, resource_id, created_at)
    SELECT method, key, fingerprint, resource_id, $6 FROM jsonb_to_recordset($5::jsonb)
        AS it (booking_id uuid, method text, key text, fingerprint bytea, resource_id uuid) JOIN done USING (booking_id)
)
SELECT booking_id, EXISTS (SELECT FROM seat JOIN moved USING (venue_id, slot_date, start_time)
                           WHERE seat.booking_id = done.booking_id AND moved.reserved < 0) AS is_miscounted
FROM done WHERE (SELECT count(*) FROM settled) >= 0
