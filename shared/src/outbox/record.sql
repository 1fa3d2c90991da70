-- Records, at time $2, the results of deliveries to destination $1. A message is identified by its aggregate ($3), its
-- version ($4) and the number of its claim ($5). $6 are the outcomes, $7 their reasons, $8 the times of the next
-- attempts. The outcomes:
--   DELIVERED    the message is removed, and the next message of its aggregate is due;
--   FAILED       it is tried again, and the attempt counts;
--   UNAVAILABLE  it is tried again, and the attempt does not count: the destination accepts no messages at all;
--   POSTPONED    it is tried again, and the attempt does not count: the destination cannot accept this message yet;
--   DEAD         it becomes a dead letter.
--
-- A result changes nothing if the message was claimed again after the delivery began, so a late or repeated record is
-- harmless. Rows are locked in the order of aggregates, so two concurrent records cannot deadlock.
WITH result AS MATERIALIZED (
    SELECT *
    FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::timestamptz[])
        AS r (aggregate_id, version, claim, outcome, reason, next_attempt_at)
    ORDER BY aggregate_id COLLATE "C"
),
held AS MATERIALIZED (             -- LIMIT forces one index lookup a row instead of a join with the whole queue
    SELECT m.tid, r.*
    FROM result AS r
    CROSS JOIN LATERAL (
        SELECT ctid AS tid
        FROM outbox_messages
        WHERE aggregate_id = r.aggregate_id AND destination = $1 AND version = r.version
          AND claims = r.claim AND lease_expires_at IS NOT NULL
        LIMIT 1
        FOR UPDATE
    ) AS m
),
removed AS (
    DELETE FROM outbox_messages AS m
    USING held AS h
    WHERE m.ctid = h.tid AND h.outcome = 'DELIVERED'
    RETURNING m.aggregate_id, m.destination, m.version
),
kept AS (
    UPDATE outbox_messages AS m
    SET attempts = m.attempts - CASE WHEN h.outcome IN ('UNAVAILABLE', 'POSTPONED') THEN 1 ELSE 0 END,
        next_attempt_at = h.next_attempt_at,
        lease_expires_at = NULL,
        last_error_reason = h.reason,
        dead_at = CASE WHEN h.outcome = 'DEAD' THEN $2::timestamptz END,
        dead_letter_id = CASE WHEN h.outcome = 'DEAD' THEN gen_random_uuid() END
    FROM held AS h
    WHERE m.ctid = h.tid AND h.outcome <> 'DELIVERED'
    RETURNING m.dead_at
),
next AS MATERIALIZED (
    SELECT later.*
    FROM removed AS r
    CROSS JOIN LATERAL (
        SELECT aggregate_id, destination, version
        FROM outbox_messages
        WHERE aggregate_id = r.aggregate_id AND destination = r.destination AND version > r.version
        ORDER BY version
        LIMIT 1
    ) AS later
),
freed AS (                         -- by key, not by ctid: a concurrent claim may have postponed the row and moved it
    UPDATE outbox_messages AS m
    SET next_attempt_at = $2
    FROM next
    WHERE m.aggregate_id = next.aggregate_id AND m.destination = next.destination AND m.version = next.version
      AND m.next_attempt_at > $2 AND m.lease_expires_at IS NULL
),
noted AS (
    UPDATE outbox_destinations
    SET last_delivered_at = $2
    WHERE destination = $1 AND EXISTS (SELECT FROM removed)
      AND (last_delivered_at IS NULL OR last_delivered_at < $2 - interval '1 second')
)
SELECT
    (SELECT count(*) FROM removed) AS "delivered!",
    (SELECT count(*) FROM kept WHERE dead_at IS NULL) AS "put_back!",
    (SELECT count(*) FROM kept WHERE dead_at IS NOT NULL) AS "dead!",
    EXISTS (SELECT FROM next) AS "more!"
