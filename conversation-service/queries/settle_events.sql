-- Records at $1 what became of events, each named by its row ($2) and the number of its claim ($3). The outcomes
-- ($4) and their reasons ($5):
--   PUBLISHED  it leaves;
--   RETURNED   it is due again, the attempt does not count: it was not tried, or the broker takes nothing from
--              anybody. Without a reason the last one stays;
--   DEAD       it becomes a dead letter, and the later ones of its conversation wait behind it.
--
-- What was claimed anew in the meantime is left alone. An event that two have published, because a lease ran
-- out, is there once: the broker knows its id.
WITH outcome AS MATERIALIZED (
    SELECT *
    FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS o (message_id, claim, outcome, reason)
),
published AS (
    DELETE FROM outbox_messages AS m
    USING outcome AS o
    WHERE m.message_id = o.message_id AND m.claims = o.claim AND m.lease_expires_at IS NOT NULL
      AND o.outcome = 'PUBLISHED'
    RETURNING m.message_id
),
kept AS (
    UPDATE outbox_messages AS m
    SET attempts = m.attempts - CASE o.outcome WHEN 'RETURNED' THEN 1 ELSE 0 END,
        next_attempt_at = $1::timestamptz,
        lease_expires_at = NULL,
        last_error_reason = COALESCE(NULLIF(o.reason, ''), m.last_error_reason),
        dead_at = CASE o.outcome WHEN 'DEAD' THEN $1 END,
        dead_letter_id = CASE o.outcome WHEN 'DEAD' THEN gen_random_uuid() END
    FROM outcome AS o
    WHERE m.message_id = o.message_id AND m.claims = o.claim AND m.lease_expires_at IS NOT NULL
      AND o.outcome <> 'PUBLISHED'
    RETURNING m.dead_at
),
noted AS (
    UPDATE outbox_destinations
    SET last_delivered_at = $1
    WHERE destination = 'event-stream' AND EXISTS (SELECT FROM published)
      AND (last_delivered_at IS NULL OR last_delivered_at < $1 - interval '1 second')
)
SELECT
    (SELECT count(*) FROM published) AS "published!",
    (SELECT count(*) FROM kept WHERE dead_at IS NULL) AS "returned!",
    (SELECT count(*) FROM kept WHERE dead_at IS NOT NULL) AS "dead!"
