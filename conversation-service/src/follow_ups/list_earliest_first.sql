-- A page of follow-ups by due time, the earliest first: at most $9 of them, fewer when those before the
-- last would be larger than $10 bytes together.
--
-- Each wanted (trigger, status) is a run of its own in the index that fits, that of the conversation $3, of
-- the subject $4, or of all: the first rows of every run, 24 runs at most, hold the page. A conversation's
-- runs are short, so a subject beside it is looked for in them. Only one branch runs, the others' conditions
-- on $3 and $4 alone are seen to be false before anything is read.
SELECT
    follow_up_id AS "follow_up_id!",
    conversation_id AS "conversation_id!",
    trigger AS "trigger!",
    subject AS "subject!",
    status AS "status!",
    due_at AS "due_at!",
    time_zone AS "time_zone!",
    channel AS "channel!",
    user_id AS "user_id?",
    content_sealed AS "content_sealed?",
    metadata_sealed AS "metadata_sealed?",
    attempts AS "attempts!",
    max_attempts AS "max_attempts!",
    next_attempt_at AS "next_attempt_at?",
    lease_expires_at AS "lease_expires_at?",
    last_failure_reason AS "last_failure_reason!",
    message_id AS "message_id!",
    created_at AS "created_at!",
    updated_at AS "updated_at!",
    finished_at AS "finished_at?"
FROM (
    SELECT
        candidate.*,
        sum(COALESCE(octet_length(content_sealed), 0) + COALESCE(octet_length(metadata_sealed), 0))
            OVER (ORDER BY due_at, follow_up_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM (
        SELECT run.*
        FROM unnest($1::text[]) AS wanted_trigger
        CROSS JOIN unnest($2::text[]) AS wanted_status
        CROSS JOIN LATERAL (
            (
                SELECT *
                FROM follow_ups
                WHERE $3::text IS NULL AND $4::text IS NULL
                  AND trigger = wanted_trigger AND status = wanted_status
                  AND due_at >= COALESCE($5::timestamptz, '-infinity') AND due_at < COALESCE($6::timestamptz, 'infinity')
                  -- where the last page ended; everything on the first one
                  AND (due_at, follow_up_id) > (COALESCE($7::timestamptz, '-infinity'), $8::uuid)
                ORDER BY due_at, follow_up_id
                LIMIT $9
            )
            UNION ALL
            (
                SELECT *
                FROM follow_ups
                WHERE $3::text IS NOT NULL AND conversation_id = $3 AND ($4::text IS NULL OR subject = $4)
                  AND trigger = wanted_trigger AND status = wanted_status
                  AND due_at >= COALESCE($5::timestamptz, '-infinity') AND due_at < COALESCE($6::timestamptz, 'infinity')
                  AND (due_at, follow_up_id) > (COALESCE($7::timestamptz, '-infinity'), $8::uuid)
                ORDER BY due_at, follow_up_id
                LIMIT $9
            )
            UNION ALL
            (
                SELECT *
                FROM follow_ups
                WHERE $3::text IS NULL AND $4::text IS NOT NULL AND subject = $4 AND subject <> ''
                  AND trigger = wanted_trigger AND status = wanted_status
                  AND due_at >= COALESCE($5::timestamptz, '-infinity') AND due_at < COALESCE($6::timestamptz, 'infinity')
                  AND (due_at, follow_up_id) > (COALESCE($7::timestamptz, '-infinity'), $8::uuid)
                ORDER BY due_at, follow_up_id
                LIMIT $9
            )
        ) AS run
        ORDER BY run.due_at, run.follow_up_id
        LIMIT $9
    ) AS candidate
) AS page
WHERE COALESCE(bytes_before, 0) <= $10::bigint
ORDER BY due_at, follow_up_id
