-- A page of follow-ups by due time, the earliest first: at most $9, and fewer if those before the last one exceed $10
-- bytes together.
--
-- There is an index for each kind of filter: conversation $3, subject $4, or neither. In each, the rows of one trigger
-- and status are adjacent, so the page is among the first rows of each wanted pair (at most 30 pairs). A conversation
-- has few follow-ups, so an additional subject is only a filter. Only one branch of the union reads rows; the
-- conditions of the others on $3 and $4 are false.
SELECT page AS "follow_up!: FollowUpRow"
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
                  -- the end of the last page; everything on the first one
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
