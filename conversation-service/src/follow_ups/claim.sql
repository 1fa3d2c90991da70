-- ClaimDueFollowUps: what is due, handed out under a lease, in one statement that commits by itself.
--
-- $1 now, $2 end of the lease, $3 channels ('' for none), $4 how many, $5 claimant, $6 key or null,
-- $7 fingerprint of the request, $8 when what has to wait is looked at again, $9 how many are looked at in
-- each channel, $10 the time zones in which it is not sending hours now, $11 when they begin there, and
-- $12 how many bytes of text and metadata may be before the last.
--
-- The hours are looked at here and where a follow-up is made ready, which is its only way out: whatever
-- sets `next_attempt_at`, a failure, a lease that is over or a sender that was away, it is the earliest time
-- only, and what is outside its hours when its turn comes is moved to their beginning.
--
-- One row a claim, with the outcome `claimed`, the longest due first; or one row that says why there is
-- none:
--   none    nothing is due;
--   again   something may be: others were faster, or all that was looked at had to wait;
--   reused  this key belongs to another request.
--
-- Nobody waits for anybody but for a twin with the same key: rows are passed over while another call has
-- them. Each channel is read by itself, in the order of its index, so that one whose sender is away does
-- not stand in the way of the others. Rows are updated by their ids in an array, because that is looked
-- up one by one whatever the planner thinks of the number of rows.
WITH prior AS MATERIALIZED (           -- has this key claimed before?
    SELECT fingerprint, created_at
    FROM idempotency_keys
    WHERE method = 'ClaimDueFollowUps' AND key = $6
),
held AS MATERIALIZED (                 -- its claims, as far as they still stand: they are the answer
    SELECT *
    FROM follow_ups
    WHERE claim_key = $6 AND status = 'CLAIMED' AND lease_expires_at > $1
      AND EXISTS (SELECT FROM prior WHERE fingerprint = $7)
),
due AS MATERIALIZED (                  -- locked
    SELECT f.*
    FROM unnest($3::text[]) AS c (channel)
    CROSS JOIN LATERAL (
        SELECT follow_up_id, conversation_id, trigger, time_zone, next_attempt_at,
               octet_length(content_sealed) + COALESCE(octet_length(metadata_sealed), 0) AS bytes
        FROM follow_ups
        WHERE status = 'PENDING' AND ready_at IS NOT NULL AND channel = c.channel AND next_attempt_at <= $1
        ORDER BY next_attempt_at
        LIMIT $9
        FOR UPDATE SKIP LOCKED
    ) AS f
    WHERE NOT EXISTS (SELECT FROM held)
      AND NOT EXISTS (SELECT FROM prior WHERE fingerprint <> $7)
),
checked AS MATERIALIZED (              -- while a person leads the conversation nothing is sent of itself
    SELECT d.follow_up_id, d.next_attempt_at, d.bytes, c.channel,
           GREATEST(CASE WHEN d.trigger <> 'CUSTOM' AND c.status = 'ESCALATED' THEN $8::timestamptz END, closed.opens_at)
               AS waits_until
    FROM due AS d
    LEFT JOIN unnest($10::text[], $11::timestamptz[]) AS closed (time_zone, opens_at)
           ON closed.time_zone = d.time_zone
    LEFT JOIN LATERAL (
        SELECT channel, status FROM conversations WHERE conversation_id = d.conversation_id LIMIT 1
    ) AS c ON true
),
postponed AS (                         -- out of the way of what can be sent
    UPDATE follow_ups AS f
    SET next_attempt_at = c.waits_until
    FROM checked AS c
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM checked WHERE waits_until IS NOT NULL))
      AND f.follow_up_id = c.follow_up_id
    RETURNING 1
),
chosen AS MATERIALIZED (               -- no more than an answer holds: what is claimed beyond would reach nobody
    SELECT follow_up_id, channel
    FROM (
        SELECT follow_up_id, channel, next_attempt_at,
               sum(bytes) OVER (
                   ORDER BY next_attempt_at, follow_up_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
               ) AS bytes_before
        FROM checked
        WHERE waits_until IS NULL
    ) AS candidate
    WHERE COALESCE(bytes_before, 0) <= $12::bigint
    ORDER BY next_attempt_at, follow_up_id
    LIMIT $4
),
gate AS (                              -- of twins one writes the key; the other finds it changed and claims nothing
    INSERT INTO idempotency_keys AS k (method, key, fingerprint, outcome, created_at)
    SELECT 'ClaimDueFollowUps', $6, $7, 'CLAIMED', $1
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
        -- of a conversation that was not seen yet when the text was chosen
        channel = CASE WHEN f.channel <> '' THEN f.channel
                       ELSE COALESCE((SELECT c.channel FROM chosen AS c WHERE c.follow_up_id = f.follow_up_id), '') END,
        updated_at = $1
    WHERE f.follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM chosen))
      AND ($6::text IS NULL OR EXISTS (SELECT FROM gate))
    RETURNING f.*
),
reply AS (
    SELECT * FROM claimed UNION ALL SELECT * FROM held
)
SELECT
    CASE WHEN r.follow_up_id IS NOT NULL THEN 'claimed'
         WHEN EXISTS (SELECT FROM prior WHERE fingerprint <> $7) THEN 'reused'
         WHEN EXISTS (SELECT FROM checked) THEN 'again'
         WHEN EXISTS (
             SELECT
             FROM unnest($3::text[]) AS c (channel)
             CROSS JOIN LATERAL (
                 SELECT
                 FROM follow_ups
                 WHERE status = 'PENDING' AND ready_at IS NOT NULL AND channel = c.channel AND next_attempt_at <= $1
                 LIMIT 1
             ) AS f
         ) THEN 'again'
         ELSE 'none'
    END AS "outcome!",
    r.follow_up_id AS "follow_up_id?",
    r.conversation_id AS "conversation_id?",
    r.trigger AS "trigger?",
    r.subject AS "subject?",
    r.status AS "status?",
    r.due_at AS "due_at?",
    r.time_zone AS "time_zone?",
    r.channel AS "channel?",
    -- the customer as the conversation knows them
    COALESCE(
        (SELECT user_id FROM conversations AS c WHERE c.conversation_id = r.conversation_id), r.user_id) AS "user_id?",
    r.content_sealed AS "content_sealed?",
    r.metadata_sealed AS "metadata_sealed?",
    r.attempts AS "attempts?",
    r.max_attempts AS "max_attempts?",
    r.next_attempt_at AS "next_attempt_at?",
    r.lease_expires_at AS "lease_expires_at?",
    r.last_failure_reason AS "last_failure_reason?",
    r.message_id AS "message_id?",
    r.created_at AS "created_at?",
    r.updated_at AS "updated_at?",
    r.finished_at AS "finished_at?",
    r.claim_token AS "claim_token?",
    r.traceparent AS "traceparent?",
    NULL::bigint AS "sequence?",
    NULL::timestamptz AS "sent_at?",
    NULL::timestamptz AS "stored_at?"
FROM (SELECT) AS always
LEFT JOIN reply AS r ON true
ORDER BY r.next_attempt_at, r.follow_up_id
