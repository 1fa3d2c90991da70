-- Checks the users that are due, and schedules a re-engagement for each user who has not written in any conversation
-- for $2 seconds. $1 now, $3 due time of the follow-up, $4 its time zone, $5 its attempts limit, $6 next check of a
-- user who must wait, $7 whether events are published, $8 the purpose of re-engagements.
--
-- There is one re-engagement for each silence, with any number of replicas: the statement locks the user's row and
-- records the silence in it. A silence begins with the customer's last message, so the follow-up itself does not begin
-- a new one.
--
-- The customer is the one of the newest booking in the user's conversations whose follow-up is still stored. Without a
-- customer, or without the customer's consent, nothing is scheduled, and the user is looked at again after $2 seconds. The
-- consent decides once more when the follow-up is sent.
--
-- It reads a user's newest 100 conversations. A user with more conversations is shared, for example by a kiosk.
WITH due AS MATERIALIZED (
    SELECT user_hash, silent_since
    FROM reengagement_checks
    WHERE check_at <= $1
    ORDER BY check_at
    LIMIT 64
    FOR UPDATE SKIP LOCKED
),
found AS MATERIALIZED (                -- the user's latest active conversation
    SELECT d.user_hash, d.silent_since, newest.conversation_id, newest.status, newest.active_at, newest.channel,
           (
               SELECT f.customer_id
               FROM unnest(newest.conversation_ids) AS c (conversation_id)
               CROSS JOIN LATERAL (
                   SELECT customer_id, created_at
                   FROM follow_ups
                   WHERE conversation_id = c.conversation_id AND trigger = 'POST_EVENT' AND customer_id IS NOT NULL
                   ORDER BY created_at DESC
                   LIMIT 1
               ) AS f
               ORDER BY f.created_at DESC
               LIMIT 1
           ) AS customer_id,
           -- whether a booking or its follow-up is still to come
           COALESCE((
               SELECT true
               FROM unnest(newest.conversation_ids) AS c (conversation_id)
               CROSS JOIN LATERAL (
                   SELECT
                   FROM follow_ups
                   WHERE conversation_id = c.conversation_id AND trigger = 'POST_EVENT' AND finished_at IS NULL
                   LIMIT 1
               ) AS f
               LIMIT 1
           ), false) AS awaited
    FROM due AS d
    LEFT JOIN LATERAL (
        SELECT conversation_id, status, active_at, channel, array_agg(conversation_id) OVER () AS conversation_ids
        FROM (
            SELECT conversation_id, status, channel, COALESCE(customer_wrote_at, created_at) AS active_at
            FROM conversations
            WHERE user_hash = d.user_hash
            ORDER BY created_at DESC
            LIMIT 100
        ) AS c
        ORDER BY active_at DESC, conversation_id
        LIMIT 1
    ) AS newest ON true
),
judged AS MATERIALIZED (
    SELECT *,
           CASE WHEN active_at IS NULL THEN 'deleted'         -- the user has no conversation any more
                WHEN active_at > $1::timestamptz - make_interval(secs => $2) THEN 'active'
                WHEN silent_since = active_at THEN 'served'
                WHEN awaited OR status = 'ESCALATED' THEN 'waits'
                WHEN NOT is_consented(customer_id, $8, channel) THEN 'declined'
                ELSE 'silent'
           END AS verdict
    FROM found
),
scheduled AS (
    INSERT INTO follow_ups (
        follow_up_id, conversation_id, trigger, status, due_at, time_zone, max_attempts, next_attempt_at,
        message_id, created_at, updated_at, customer_id, purpose)
    SELECT gen_random_uuid(), conversation_id, 'REENGAGEMENT', 'PENDING', $3, $4, $5, $3,
           gen_random_uuid(), $1, $1, customer_id, $8::text
    FROM judged
    WHERE verdict = 'silent'
    -- an existing re-engagement is sufficient
    ON CONFLICT (conversation_id, trigger, subject) WHERE finished_at IS NULL DO NOTHING
    RETURNING *
),
event AS (
    INSERT INTO outbox_messages (event_id, aggregate_id, type, created_at, data, next_attempt_at)
    SELECT gen_random_uuid(), conversation_id, 'teppan.follow_up.scheduled.v1', $1,
           json_build_object(
               'follow_up_id', follow_up_id, 'conversation_id', conversation_id,
               'trigger', 'FOLLOW_UP_TRIGGER_' || trigger, 'subject', subject, 'occurred_at', $1::timestamptz,
               'due_at', due_at, 'moved', false),
           $1
    FROM scheduled
    WHERE $7::boolean
),
checked AS (                           -- the next check is at the earliest possible end of a new silence
    UPDATE reengagement_checks AS r
    SET check_at = CASE j.verdict WHEN 'active' THEN j.active_at + make_interval(secs => $2)
                                  WHEN 'waits' THEN $6
                                  ELSE $1::timestamptz + make_interval(secs => $2) END,
        silent_since = CASE j.verdict WHEN 'silent' THEN j.active_at ELSE r.silent_since END
    FROM judged AS j
    WHERE j.verdict <> 'deleted' AND r.user_hash = ANY (ARRAY(SELECT user_hash FROM due)) AND r.user_hash = j.user_hash
),
forgotten AS (                         -- the user's next conversation creates a new row
    DELETE FROM reengagement_checks
    WHERE user_hash = ANY (ARRAY(SELECT user_hash FROM judged WHERE verdict = 'deleted'))
)
SELECT (SELECT count(*) FROM scheduled) AS "scheduled!", (SELECT count(*) FROM due) AS "checked!"
