-- Claims, at time $2, at most $4 messages for destination $1, under a lease until $3. It takes the messages that have
-- been due longest. If $5 is given, it takes only messages of that aggregate.
--
-- It returns a row for each claimed message, or one row without a message when there is none. `more` is true when other
-- messages may be due.
--
-- Order: the messages of one aggregate are delivered in the order of their versions, so only the first undelivered one
-- can be claimed. Version n + 1 is written after version n was committed with its message. So a snapshot that shows a
-- later message also shows the earlier one, unless the delivery of the earlier one has been recorded.
--
-- A later message is postponed by a second, or by half a minute behind a dead letter, so that blocked messages never
-- fill the head of the queue. Usually it waits less: the statement that records or discards the earlier message makes
-- the later one due at once. When that statement and a claim meet on the row of the later message, there are three
-- cases:
--   * The claim locks the row first. The other statement waits for the row and then makes it due.
--   * The other statement locks the row first. The claim skips the row, because it is locked or has changed.
--   * The other statement commits between the claim's snapshot and its lock. The claim postpones a row that is due, and
--     the message is delivered a second late, or half a minute late behind a discarded message.
-- In no case is a message claimed too early.
--
-- A claim waits for no lock, so it cannot be part of a deadlock. When $4 is small, the claim locks more rows than it
-- takes; other claims skip these rows until it ends.
--
-- The limits are literals because the plan depends on them. For a parameter the planner assumes a tenth of the queue,
-- and it would sort the queue.
WITH due AS MATERIALIZED (
    SELECT ctid AS tid, aggregate_id, version, next_attempt_at
    FROM outbox_messages
    WHERE $5::text IS NULL AND destination = $1 AND dead_at IS NULL AND next_attempt_at <= $2
    ORDER BY next_attempt_at
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
of_aggregate AS MATERIALIZED (     -- `candidate` selects the due ones, so that the planner uses the aggregate's index
    SELECT ctid AS tid, aggregate_id, version, next_attempt_at, dead_at
    FROM outbox_messages
    WHERE aggregate_id = $5 AND destination = $1
    ORDER BY version
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
candidate AS MATERIALIZED (        -- behind_dead is NULL when the message is the first of its aggregate
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
claimed AS (                       -- also takes over the expired leases of relays that ended
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
LEFT JOIN LATERAL (                -- LIMIT forces one index lookup a message instead of a join with all events
    SELECT type, occurred_at, data
    FROM outbox_events
    WHERE event_id = c.event_id
    LIMIT 1
) AS e ON true
ORDER BY c.created_at
