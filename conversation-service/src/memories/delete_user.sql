-- DeleteUser, except conversations: deletes a user's memories and a bounded number of follow-ups, with the follow-ups'
-- idempotency keys, in one statement that commits by itself. $1 hashes of the user, one for each key of the ring.
--
-- Always one row; `more` when follow-ups are left. Follow-ups that another statement has locked are left for the next run.
-- If a memory is set at the same moment, this fails on user_memories_user_fkey.
WITH owner AS MATERIALIZED (
    SELECT memory_user_id FROM memory_users WHERE user_hash = ANY ($1::bytea[]) FOR UPDATE
),
memory AS (
    DELETE FROM user_memories WHERE memory_user_id = ANY (ARRAY(SELECT memory_user_id FROM owner)) RETURNING 1
),
forgotten_user AS (
    DELETE FROM memory_users WHERE memory_user_id = ANY (ARRAY(SELECT memory_user_id FROM owner))
),
follow_up AS (
    DELETE FROM follow_ups
    WHERE follow_up_id = ANY (ARRAY(
        SELECT follow_up_id FROM follow_ups WHERE user_hash = ANY ($1) LIMIT 1000 FOR UPDATE SKIP LOCKED))
    RETURNING follow_up_id
),
key AS (
    DELETE FROM idempotency_keys WHERE follow_up_id = ANY (ARRAY(SELECT follow_up_id FROM follow_up))
),
forgotten AS (
    DELETE FROM reengagement_checks
    WHERE user_hash = ANY (ARRAY(
        SELECT user_hash FROM reengagement_checks WHERE user_hash = ANY ($1) FOR UPDATE SKIP LOCKED))
)
SELECT m.count AS "memories!", f.count AS "follow_ups!",
       EXISTS (SELECT FROM follow_ups WHERE user_hash = ANY ($1) OFFSET f.count) AS "more!"
FROM (SELECT count(*) AS count FROM memory) AS m, (SELECT count(*) AS count FROM follow_up) AS f
