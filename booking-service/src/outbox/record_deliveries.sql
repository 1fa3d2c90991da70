-- Records at $2 what became of messages to one destination ($1), each named by its booking ($3), its
-- version ($4) and the number of its claim ($5). The outcomes ($6), their reasons ($7) and when to try
-- again ($8):
--   DELIVERED  the message is removed, and the next of its booking is due;
--   FAILED     it is tried again, the attempt counts;
--   AWAY       it is tried again, the attempt does not count: the destination takes nothing from anybody;
--   LATER      it is tried again, the attempt does not count: it could not be taken yet;
--   DEAD       it becomes a dead letter.
--
-- What was claimed anew in the meantime is left alone (`held`), however late this comes and however often
-- it is run. Rows are locked in the order of bookings, so that two that meet take turns.
WITH outcome AS MATERIALIZED (
    SELECT *
    FROM unnest($3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::timestamptz[])
        AS o (booking_id, version, claim, outcome, reason, next_attempt_at)
    ORDER BY booking_id
),
held AS MATERIALIZED (             -- LIMIT: looked up one by one, not joined to the whole queue
    SELECT m.place, o.*
    FROM outcome o
    CROSS JOIN LATERAL (
        SELECT ctid AS place
        FROM outbox_messages
        WHERE booking_id = o.booking_id AND destination = $1 AND version = o.version
          AND claims = o.claim AND lease_expires_at IS NOT NULL
        LIMIT 1
        FOR UPDATE
    ) AS m
),
removed AS (
    DELETE FROM outbox_messages m
    USING held h
    WHERE m.ctid = h.place AND h.outcome = 'DELIVERED'
    RETURNING m.booking_id, m.destination, m.version
),
kept AS (
    UPDATE outbox_messages m
    SET attempts = m.attempts - CASE WHEN h.outcome IN ('AWAY', 'LATER') THEN 1 ELSE 0 END,
        next_attempt_at = h.next_attempt_at,
        lease_expires_at = NULL,
        last_error_reason = h.reason,
        dead_at = CASE WHEN h.outcome = 'DEAD' THEN $2::timestamptz END,
        dead_letter_id = CASE WHEN h.outcome = 'DEAD' THEN gen_random_uuid() END
    FROM held h
    WHERE m.ctid = h.place AND h.outcome <> 'DELIVERED'
    RETURNING m.dead_at
),
freed AS (                         -- by key, not by place: whoever has just put it off may have moved it
    UPDATE outbox_messages m
    SET next_attempt_at = $2
    FROM (
        SELECT later.*
        FROM removed r
        CROSS JOIN LATERAL (
            SELECT booking_id, destination, version
            FROM outbox_messages
            WHERE booking_id = r.booking_id AND destination = r.destination AND version > r.version
            ORDER BY version
            LIMIT 1
        ) AS later
    ) AS next
    WHERE m.booking_id = next.booking_id AND m.destination = next.destination AND m.version = next.version
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
    (SELECT count(*) FROM kept WHERE dead_at IS NOT NULL) AS "dead!"
