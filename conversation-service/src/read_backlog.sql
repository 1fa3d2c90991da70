-- The backlog at time $1 for the metrics: one row, read by indexes. $2 are all channels. A count stops at 10,000 (for
-- claimable follow-ups in each channel). An age is that of the oldest counted row.
SELECT
    emotion.pending AS "emotions_pending!",
    emotion.oldest_at AS "oldest_emotion_at?",
    due.count AS "due!",
    claimable.count AS "claimable!",
    claimable.since AS "claimable_since?",
    claimed.count AS "claimed!",
    overdue.due_at AS "overdue_since?"
FROM (
    SELECT count(*) AS pending, min(since) AS oldest_at
    FROM (SELECT since FROM emotion_pending ORDER BY since LIMIT 10000) AS counted
) AS emotion
CROSS JOIN (
    SELECT count(*) AS count
    FROM (
        SELECT
        FROM follow_ups
        WHERE status = 'PENDING' AND ready_at IS NULL AND next_attempt_at <= $1::timestamptz
        ORDER BY next_attempt_at
        LIMIT 10000
    ) AS counted
) AS due
CROSS JOIN (
    SELECT count(*) AS count, min(counted.next_attempt_at) AS since
    FROM unnest($2::text[]) AS c (channel)
    CROSS JOIN LATERAL (
        SELECT next_attempt_at
        FROM follow_ups
        WHERE status = 'PENDING' AND ready_at IS NOT NULL AND channel = c.channel AND next_attempt_at <= $1
        ORDER BY next_attempt_at
        LIMIT 10000
    ) AS counted
) AS claimable
CROSS JOIN (
    SELECT count(*) AS count
    FROM (SELECT FROM follow_ups WHERE status = 'CLAIMED' ORDER BY lease_expires_at LIMIT 10000) AS counted
) AS claimed
CROSS JOIN (
    SELECT min(due_at) AS due_at
    FROM (
        SELECT COALESCE(held_until, due_at) AS due_at
        FROM follow_ups
        WHERE status = 'PENDING' AND COALESCE(held_until, due_at) <= $1
        ORDER BY COALESCE(held_until, due_at)
        LIMIT 1
    ) AS first
) AS overdue
