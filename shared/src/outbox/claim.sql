-- Claims messages for destination $1 at $2, under a lease until $3: the $4 that have been due longest, or, when $5 is
-- given, those of this aggregate.
--
-- Answers a row for each claimed message, and one row without a message when there is none. `more` is true when others
-- may be due.
--
-- The messages of one aggregate are delivered in the order of their versions: only the first undelivered one can be
-- claimed. Whoever writes version n + 1 has seen the commit of version n with its message, so a snapshot that shows
-- a later message also shows the earlier one, unless its delivery has been recorded. A later message is put off for a
-- second, or for half a minute behind a dead letter, so that blocked messages never fill the head of the queue. It
-- seldom waits that long: recording or discarding the earlier message makes it due at once. When the two meet on its
-- row,
--   * the claim comes first: the other waits for the row and then makes it due;
--   * the other comes first: the claim skips the row, because it is locked or has changed;
--   * the other comes between snapshot and lock: the row is put off although it is due, and is delivered a second late,
--     or half a minute late behind a discarded message.
-- A message is never claimed too early.
--
-- A claim waits for no lock, so it cannot be part of a deadlock. When $4 is small it locks more rows than it takes;
-- other claims skip these until it ends.
--
-- The limits are literals because the plan depends on them: the planner assumes that a parameter takes a tenth of the
-- queue, and would sort the queue.
WITH due AS MATERIALIZED (
    SELECT ctid AS tid, aggregate_id, version, next_attempt_at
    FROM outbox_messages
    WHERE $5::text IS NULL AND destination = $1 AND dead_at IS NULL AND next_attempt_at <= $2
    ORDER BY next_attempt_at
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
of_aggregate AS MATERIALIZED (     -- filters due messages later, so that only the index of the aggregate fits
    SELECT ctid AS tid, aggregate_id, version, next_attempt_at, dead_at
    FROM outbox_messages
    WHERE aggregate_id = $5 AND destination = $1
    ORDER BY version
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
candidate AS MATERIALIZED (        -- behind_dead: NULL when it is the first of its aggregate
    SELECT m.*, first.is_dead AS behind_dead
    FROM (
        SELECT * FROM due
        UNION ALL
        SELECT tid, aggregate_id, version, next_attempt_at
        FROM of_aggregate
        WHERE dead_at IS NULL AND next_attempt_at <= $2
    ) AS m
    LEFT JOIN LATERAL (
        SELECT earlier.dead_at IS NOT NULL AS is_dead
        FROM outbox_messages AS earlier
        WHERE earlier.aggregate_id = m.aggregate_id AND earlier.destination = $1 AND earlier.version < m.version
        ORDER BY earlier.version
        LIMIT 1
    ) AS first ON true
),
put_off AS (
    UPDATE outbox_messages AS m
    SET next_attempt_at = $2 + CASE WHEN c.behind_dead THEN interval '30 seconds' ELSE interval '1 second' END,
        lease_expires_at = NULL
    FROM candidate AS c
    WHERE m.ctid = c.tid AND c.behind_dead IS NOT NULL
),
chosen AS MATERIALIZED (
    SELECT tid FROM candidate WHERE behind_dead IS NULL ORDER BY next_attempt_at, version LIMIT $4
),
claimed AS (                       -- takes over the lease of a relay that died
    UPDATE outbox_messages AS m
    SET attempts = m.attempts + 1, claims = m.claims + 1, lease_expires_at = $3, next_attempt_at = $3
    FROM chosen
    WHERE m.ctid = chosen.tid
    RETURNING m.aggregate_id, m.version, m.event_id, m.claims, m.attempts, m.last_error_reason, m.traceparent, m.created_at
)
SELECT
    (SELECT count(*) FROM candidate) = 64
        OR (SELECT count(*) FROM candidate WHERE behind_dead IS NULL) > (SELECT count(*) FROM claimed) AS "more!",
    c.aggregate_id AS "aggregate_id?",
    c.version AS "version?",
    c.claims AS "claim?",
    c.attempts AS "attempts?",
    c.last_error_reason AS "last_error_reason?",
    c.traceparent AS "traceparent?",
    c.created_at AS "created_at?",
    c.event_id AS "event_id?",
    e.type AS "event_type?",
    e.occurred_at AS "occurred_at?",
    e.data::text AS "data?"
FROM (SELECT) AS always
LEFT JOIN claimed AS c ON true
LEFT JOIN LATERAL (                -- LIMIT: looks them up one by one instead of joining all events
    SELECT type, occurred_at, data
    FROM outbox_events
    WHERE event_id = c.event_id
    LIMIT 1
) AS e ON true
ORDER BY c.created_at
