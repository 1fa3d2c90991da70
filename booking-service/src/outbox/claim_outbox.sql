-- Claims messages for one destination ($1) at $2, under a lease until $3: the $4 that have been due
-- longest, or, when $5 is given, those of this booking.
--
-- A row for each message claimed, and one without a message when there is none. `more` when there may be
-- others that are due.
--
-- Messages of one booking go out in the order of their versions: only the first that is not yet delivered
-- can be claimed. Whoever writes version n + 1 knows the hash of version n, which was committed with its
-- message; so a snapshot that shows a later message shows the earlier one too, unless its delivery has
-- been recorded. A later one that is met is put off for a second, or half a minute behind a dead letter,
-- so that the blocked never fill the head of the queue. It does not have to wait so long: recording or
-- discarding the earlier one makes it due at once. When both meet on its row,
--   * the claim first: the other waits for the row and then makes it due;
--   * the other first: the claim passes over the row, because it is locked or no longer as it was;
--   * the other between snapshot and lock: it is put off although it is due, and comes a second late, or
--     half a minute after a discarded one.
-- Never is one claimed too early.
--
-- A claim waits for nobody, so it cannot be part of a deadlock. It locks more rows than it takes when $4
-- is small; those are free again when it ends, and other claims pass over them until then.
--
-- The limits are written out because the plan hangs on them: of a parameter the planner would think that
-- it takes a tenth of the queue, and would sort it.
WITH due AS MATERIALIZED (
    SELECT ctid AS place, booking_id, version, next_attempt_at
    FROM outbox_messages
    WHERE $5::uuid IS NULL AND destination = $1 AND dead_at IS NULL AND next_attempt_at <= $2
    ORDER BY next_attempt_at
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
of_booking AS MATERIALIZED (       -- whether they are due is asked later, so that only the booking's index fits
    SELECT ctid AS place, booking_id, version, next_attempt_at, dead_at
    FROM outbox_messages
    WHERE booking_id = $5 AND destination = $1
    ORDER BY version
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
met AS MATERIALIZED (              -- with what stands before each: nothing, a message or a dead letter
    SELECT m.*, first.is_dead AS behind_dead
    FROM (
        SELECT * FROM due
        UNION ALL
        SELECT place, booking_id, version, next_attempt_at FROM of_booking WHERE dead_at IS NULL AND next_attempt_at <= $2
    ) AS m
    LEFT JOIN LATERAL (
        SELECT earlier.dead_at IS NOT NULL AS is_dead
        FROM outbox_messages earlier
        WHERE earlier.booking_id = m.booking_id AND earlier.destination = $1 AND earlier.version < m.version
        ORDER BY earlier.version
        LIMIT 1
    ) AS first ON true
),
put_off AS (
    UPDATE outbox_messages m
    SET next_attempt_at = $2 + CASE WHEN met.behind_dead THEN interval '30 seconds' ELSE interval '1 second' END,
        lease_expires_at = NULL
    FROM met
    WHERE m.ctid = met.place AND met.behind_dead IS NOT NULL
),
chosen AS MATERIALIZED (
    SELECT place FROM met WHERE behind_dead IS NULL ORDER BY next_attempt_at, version LIMIT $4
),
claimed AS (                       -- the lease of a relay that died is taken over
    UPDATE outbox_messages m
    SET attempts = m.attempts + 1, claims = m.claims + 1, lease_expires_at = $3, next_attempt_at = $3
    FROM chosen
    WHERE m.ctid = chosen.place
    RETURNING m.booking_id, m.version, m.event_id, m.claims, m.attempts, m.last_error_reason, m.traceparent, m.created_at
)
SELECT
    (SELECT count(*) FROM met) = 64
        OR (SELECT count(*) FROM met WHERE behind_dead IS NULL) > (SELECT count(*) FROM claimed) AS "more!",
    c.booking_id AS "booking_id?",
    c.version AS "version?",
    c.claims AS "claim?",
    c.attempts AS "attempts?",
    c.last_error_reason AS "last_error_reason?",
    c.traceparent AS "traceparent?",
    c.created_at AS "created_at?",
    c.event_id AS "event_id?",
    e.type AS "type?",
    e.occurred_at AS "occurred_at?",
    e.data::text AS "data?"
FROM (SELECT) AS always
LEFT JOIN claimed c ON true
LEFT JOIN LATERAL (                -- LIMIT: looked up one by one, not joined to all events
    SELECT type, occurred_at, data
    FROM booking_events
    WHERE booking_id = c.booking_id AND version = c.version
    LIMIT 1
) AS e ON true
ORDER BY c.created_at
