-- ClaimDueFollowUps: claims what is due under a lease, in one statement that commits by itself.
--
-- $1 now, $2 end of the lease, $3 channels ('' for an unknown one), $4 batch size, $5 claimant, $6 key or null, $7
-- fingerprint, $8 next check of a follow-up that must wait, $9 candidates per channel, $10 time zones outside sending
-- hours, $11 the beginning of the hours there, $12 bytes of text and metadata before the last follow-up.
--
-- One row for each claim, with the outcome `claimed`, the longest due first; or one row with the reason:
--   none    nothing is due;
--   again   something may be due: other calls were faster, or every candidate had to wait;
--   reused  this key belongs to another request.
--
-- `next_attempt_at` is only the earliest time: a follow-up outside its sending hours moves to their beginning. One that
-- the customer's consents do not allow is never claimed: it is cancelled.
--
-- A call waits only for a concurrent duplicate with its key; it skips rows that another call has locked. Each channel
-- is read separately, so that a channel whose sender is down does not block the others. Rows are updated by an array of
-- ids, so that the planner looks them up one by one, independent of its estimates.
WITH prior AS MATERIALIZED (           -- an earlier claim with this key
    SELECT fingerprint, created_at
    FROM idempotency_keys
    WHERE method = 'ClaimDueFollowUps' AND key = $6
),
held AS MATERIALIZED (                 -- the claims of that call that are still under a lease; they are the answer
    SELECT *
    FROM follow_ups
    WHERE claim_key = $6 AND status = 'CLAIMED' AND lease_expires_at > $1
      AND EXISTS (SELECT FROM prior WHERE fingerprint = ANY ($7::bytea[]))
),
due AS MATERIALIZED (                  -- locked
    SELECT f.*
    FROM unnest($3::text[]) AS c (channel)
    CROSS JOIN LATERAL (
        SELECT follow_up_id, conversation_id, time_zone, next_attempt_at, customer_id, purpose, channel,
               octet_length(content_sealed) + COALESCE(octet_length(metadata_sealed), 0) AS bytes
        FROM follow_ups
        WHERE status = 'PENDING' AND ready_at IS NOT NULL AND channel = c.channel AND next_attempt_at <= $1
          AND (expires_at IS NULL OR expires_at > $1) -- a reminder only before its event
        ORDER BY next_attempt_at
        LIMIT $9
        FOR UPDATE SKIP LOCKED
    ) AS f
    WHERE NOT EXISTS (SELECT FROM held)
      AND NOT EXISTS (SELECT FROM prior WHERE fingerprint <> ALL ($7))
),
checked AS MATERIALIZED (              -- nothing is sent while a person holds the conversation, or should
    SELECT d.follow_up_id, d.next_attempt_at, d.bytes, c.channel,
           GREATEST(CASE WHEN c.status = 'ESCALATED' THEN $8::timestamptz END, closed.opens_at)
               AS waits_until,
           is_consented(d.customer_id, d.purpose, COALESCE(NULLIF(d.channel, ''), c.channel, '')) AS is_consented
    FROM due AS d
    LEFT JOIN unnest($10::text[], $11::timestamptz[]) AS closed (time_zone, opens_at)
           ON closed.time_zone = d.time_zone
    LEFT JOIN LATERAL (
        SELECT channel, status FROM conversations WHERE conversation_id = d.conversation_id LIMIT 1
    ) AS c ON true
),
postponed AS (                         -- so that they do not block follow-ups that can be sent
    UPDATE follow_ups AS f
    SET next_attempt_at = c.waits_until
    FROM checked AS c
    WHERE f.follow_up_id = ANY (ARRAY(
              SELECT follow_up_id FROM checked WHERE waits_until IS NOT NULL AND is_consented))
      AND f.follow_up_id = c.follow_up_id
    RETURNING 1
),
withheld AS (                          -- the last claim stays: its sender may still report what was sent before
    UPDATE follow_ups
    SET status = 'CANCELLED', cancellation_reason = 'CONSENT_MISSING', next_attempt_at = NULL, finished_at = $1,
        updated_at = $1
    WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM checked WHERE NOT is_consented))
    RETURNING 1
),
chosen AS MATERIALIZED (               -- no more than fits into an answer
    SELECT follow_up_id, channel
    FROM (
        SELECT follow_up_id, channel, next_attempt_at,
               sum(bytes) OVER (
                   ORDER BY next_attempt_at, follow_up_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
               ) AS bytes_before
        FROM checked
        WHERE waits_until IS NULL AND is_consented
    ) AS candidate
    WHERE COALESCE(bytes_before, 0) <= $12::bigint
    ORDER BY next_attempt_at, follow_up_id
    LIMIT $4
),
gate AS (                              -- of two concurrent duplicates, one writes the key; the other claims nothing
    INSERT INTO idempotency_keys AS k (method, key, fingerprint, outcome, created_at)
    SELECT 'ClaimDueFollowUps', $6, ($7)[1], 'CLAIMED', $1
    WHERE $6::text IS NOT NULL AND EXISTS (SELECT FROM chosen)
    ON CONFLICT (method, key) DO UPDATE
    SET created_at = GREATEST(EXCLUDED.created_at, k.created_at + interval '1 microsecond')
    WHERE k.created_at = (SELECT created_at FROM prior)
    RETURNING 1
),
claimed AS (
    UPDATE follow_ups AS f
    SET status = 'CLAIMED',
        attempts = f.attempts + 1,
        lease_expires_at = $2,
        claim_token = gen_random_uuid(),
        claim_key = $6,
        claimant = $5,
        -- the conversation may not have existed when the text was chosen
        channel = COALESCE(
            NULLIF(f.channel, ''), (SELECT c.channel FROM chosen AS c WHERE c.follow_up_id = f.follow_up_id), ''),
        updated_at = $1
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM chosen))
      AND ($6::text IS NULL OR EXISTS (SELECT FROM gate))
    RETURNING f.*
),
reply AS (SELECT * FROM claimed UNION ALL SELECT * FROM held)
SELECT
    CASE WHEN r.follow_up_id IS NOT NULL THEN 'claimed'
         WHEN EXISTS (SELECT FROM prior WHERE fingerprint <> ALL ($7)) THEN 'reused'
         WHEN EXISTS (SELECT FROM checked) THEN 'again'
         WHEN EXISTS (
             SELECT
             FROM follow_ups
             WHERE status = 'PENDING' AND ready_at IS NOT NULL AND channel = ANY ($3) AND next_attempt_at <= $1
               AND (expires_at IS NULL OR expires_at > $1)
         ) THEN 'again'
         ELSE 'none'
    END AS "outcome!",
    r AS "follow_up?: _",
    (SELECT count(*) FROM withheld) AS "withheld!",
    -- the user of the conversation
    (SELECT user_sealed FROM conversations AS c WHERE c.conversation_id = r.conversation_id) AS "user_sealed?"
FROM (SELECT) AS always
LEFT JOIN reply AS r ON true
ORDER BY r.next_attempt_at, r.follow_up_id
