-- Waitlist offers: the seats that came free in one slot are held for the first who waits and fits.
--
-- Always one row. `outcome` is
--   offered    the first of those whose party fits, and whom the venue takes, has a booking that waits;
--   settled    nobody fits: the notes of this slot are removed; but for one that waits for its day where
--              somebody waits for a slot beyond the venue's horizon, which ends by time alone;
--   contended  nothing was written: who was next left, or was offered the seats, between snapshot and lock;
--   idle       there is no note that is due and that nobody else has.
-- One offer a run: the notes stay until a run finds nobody. A run that dies leaves them, and any other
-- goes on. `noted_at`: since when the seats can be offered; `anyone_waits`: for any slot at all; `review_due`:
-- review_waitlist.sql has something to do.
--
-- Notes are taken, never waited for; then slot, customer and entry are locked, in the order in which all
-- lock them; the booking is new. The snapshot shows the notes, and so everything that was freed before they
-- were made and everybody who waited then; the slot is read as it is once its lock is there.
WITH oldest AS MATERIALIZED (
    SELECT venue_id, slot_date, start_time, noted_at
    FROM waitlist_openings
    WHERE next_attempt_at <= $1::timestamptz
    ORDER BY next_attempt_at, opening_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
notes AS MATERIALIZED (            -- all of this slot, so that no other run comes to it meanwhile
    SELECT o.opening_id
    FROM oldest
    JOIN waitlist_openings o USING (venue_id, slot_date, start_time)
    ORDER BY o.opening_id
    LIMIT 1000
    FOR UPDATE OF o SKIP LOCKED
),
place AS MATERIALIZED (
    SELECT s AS slot, s.capacity - s.reserved AS open_seats,
           -- Half a year ahead the clock may be an hour off: too early is looked at again.
           CASE WHEN s.slot_date > venue_date(v, $1::timestamptz) + v.horizon_days
                THEN GREATEST(venue_midnight(v, s.slot_date - v.horizon_days), $1 + interval '1 minute')
           END AS within_horizon_at
    FROM oldest
    JOIN slots s USING (venue_id, slot_date, start_time)
    JOIN venues v USING (venue_id)
    WHERE (SELECT count(*) FROM notes) > 0
    FOR NO KEY UPDATE OF s
),
next AS MATERIALIZED (             -- the first of each size that fits, and of those the first
    SELECT w.*, v.time_zone, v.currency, v.deposit_percent, v.waitlist_hold_minutes,
           (p.slot).starts_at, (p.slot).ends_at, (p.slot).price_per_person_cents
    FROM place p
    JOIN venues v ON v.venue_id = (p.slot).venue_id
    CROSS JOIN LATERAL generate_series(1, LEAST(p.open_seats, v.max_party_size)) AS size
    CROSS JOIN LATERAL (
        SELECT *
        FROM waitlist_entries e
        WHERE e.venue_id = (p.slot).venue_id AND e.slot_date = (p.slot).slot_date
          AND e.start_time = (p.slot).start_time AND e.party_size = size AND e.party_size > 0
          AND e.status = 'WAITING'
        ORDER BY e.place
        LIMIT 1
    ) AS w
    WHERE slot_refusal(v, p.slot, (p.slot).slot_date, size, $1) IS NULL
    ORDER BY w.place
    LIMIT 1
),
customer AS MATERIALIZED (         -- stays until the booking names it
    SELECT c.customer_id FROM next JOIN customers c ON c.customer_id = next.customer_id FOR KEY SHARE OF c
),
held AS MATERIALIZED (             -- locked, and read as it is once the lock is there
    SELECT w.waitlist_entry_id, w.status
    FROM next
    JOIN customer ON customer.customer_id = next.customer_id
    JOIN waitlist_entries w ON w.waitlist_entry_id = next.waitlist_entry_id
    FOR NO KEY UPDATE OF w
),
entry AS (                         -- the gate: still waiting
    UPDATE waitlist_entries w
    SET status = 'OFFERED', offered_at = $1, special_requests_sealed = NULL, updated_at = $1
    FROM held
    WHERE w.waitlist_entry_id = held.waitlist_entry_id AND held.status = 'WAITING'
    RETURNING w.waitlist_entry_id
),
taken AS (
    UPDATE slots s
    SET reserved = s.reserved + next.party_size
    FROM next, entry
    WHERE s.venue_id = next.venue_id AND s.slot_date = next.slot_date AND s.start_time = next.start_time
    RETURNING s.venue_id
),
draft AS MATERIALIZED (            -- the booking as it will stand: it waits, also where no deposit is due
    SELECT next.*, price.total_cents, deposit_cents(price.total_cents, next.deposit_percent, next.currency) AS due_cents,
           LEAST($1 + make_interval(mins => next.waitlist_hold_minutes), next.starts_at) AS hold_expires_at
    FROM next, taken
    CROSS JOIN LATERAL (SELECT next.price_per_person_cents * next.party_size AS total_cents) AS price
),
created AS (                       -- the first link of the booking's chain
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $2::uuid, booking_id, 1, 'teppan.booking.created.v1', $1,
           json_build_object(
               'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date,
               'start_time', left(start_time::text, 5), 'booking_version', 1,
               'status', 'BOOKING_STATUS_PENDING', 'occurred_at', $1, 'customer_id', customer_id,
               'conversation_id', conversation_id, 'confirmation_code', $4::text, 'starts_at', starts_at,
               'ends_at', ends_at, 'time_zone', time_zone, 'party_size', party_size,
               'price_per_person_cents', price_per_person_cents, 'total_cents', total_cents,
               'deposit_due_cents', due_cents, 'currency', currency, 'hold_expires_at', hold_expires_at,
               'waitlist_entry_id', waitlist_entry_id),
           traceparent, ''
    FROM draft
    RETURNING event_id, version, hash
),
offered AS (                       -- and the second
    INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, traceparent, previous_hash)
    SELECT $3::uuid, booking_id, 2, 'teppan.waitlist.offered.v1', $1,
           json_build_object(
               'booking_id', booking_id, 'venue_id', venue_id, 'date', slot_date,
               'start_time', left(start_time::text, 5), 'booking_version', 2,
               'status', 'BOOKING_STATUS_PENDING', 'occurred_at', $1, 'waitlist_entry_id', waitlist_entry_id,
               'customer_id', customer_id, 'conversation_id', conversation_id, 'party_size', party_size,
               'offer_expires_at', hold_expires_at, 'deposit_due_cents', due_cents, 'currency', currency),
           traceparent, created.hash
    FROM draft, created
    RETURNING event_id, version, hash
),
booking AS (
    INSERT INTO bookings (
        booking_id, confirmation_code, status, venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
        party_size, price_per_person_cents, total_cents, deposit_due_cents, currency, hold_expires_at,
        conversation_id, special_requests_sealed, source, waitlist_entry_id, version, event_hash, created_at, updated_at)
    SELECT booking_id, $4, 'PENDING', venue_id, slot_date, start_time, starts_at, ends_at, customer_id,
           party_size, price_per_person_cents, total_cents, due_cents, currency, hold_expires_at,
           conversation_id, special_requests_sealed, source, waitlist_entry_id, offered.version, offered.hash, $1, $1
    FROM draft, offered
    RETURNING booking_id
),
messages AS (                      -- it is not firm: conversation-service has nothing to ask about yet
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, traceparent, created_at, next_attempt_at)
    SELECT event.event_id, destination, draft.booking_id, event.version, draft.traceparent, $1, $1
    FROM draft,
         (SELECT event_id, version FROM created UNION ALL SELECT event_id, version FROM offered) AS event,
         unnest($5::text[]) AS destination
    WHERE destination <> 'conversation-service'
),
parked AS (                        -- the newest note stays, until the slot's day comes within the horizon
    UPDATE waitlist_openings o
    SET noted_at = p.within_horizon_at, next_attempt_at = p.within_horizon_at
    FROM place p
    WHERE o.opening_id = (SELECT max(opening_id) FROM notes)
      AND p.within_horizon_at IS NOT NULL AND NOT EXISTS (SELECT FROM next)
      AND EXISTS (
          SELECT
          FROM waitlist_entries w
          WHERE w.venue_id = (p.slot).venue_id AND w.slot_date = (p.slot).slot_date
            AND w.start_time = (p.slot).start_time AND w.status = 'WAITING' AND w.place > 0)
    RETURNING o.opening_id
),
settled AS (
    DELETE FROM waitlist_openings o
    USING notes
    WHERE o.opening_id = notes.opening_id AND (SELECT count(*) FROM place) > 0 AND NOT EXISTS (SELECT FROM next)
      AND NOT EXISTS (SELECT FROM parked WHERE parked.opening_id = notes.opening_id)
    RETURNING o.opening_id
)
SELECT
    CASE WHEN EXISTS (SELECT FROM booking) THEN 'offered'
         WHEN EXISTS (SELECT FROM settled) OR EXISTS (SELECT FROM parked) THEN 'settled'
         WHEN EXISTS (SELECT FROM oldest) THEN 'contended'
         ELSE 'idle'
    END AS "outcome!",
    (SELECT noted_at FROM oldest) AS "noted_at?",
    EXISTS (SELECT FROM waitlist_entries WHERE status = 'WAITING' AND bookable_until > '-infinity') AS "anyone_waits!",
    EXISTS (SELECT FROM waitlist_reviews WHERE review_id > 0) AS "review_due!"
