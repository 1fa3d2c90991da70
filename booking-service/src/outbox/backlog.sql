-- The backlogs at $1, for the metrics: one row, read by indexes. Counts stop at 10,000, and an age is that of the
-- oldest counted row. Holds that end after $1 and up to $2 count as expiring.
SELECT
    hold.pending AS "holds_pending!",
    hold.expiring AS "holds_expiring!",
    hold.overdue AS "holds_overdue!",
    hold.offered AS "waitlist_offered!",
    hold.first_expires_at AS "first_hold_expires_at?",
    waiting.count AS "waitlist_waiting!",
    opening.count AS "openings!",
    opening.noted_at AS "oldest_opening_at?",
    stripe.count AS "stripe_waiting!",
    stripe.received_at AS "oldest_stripe_at?",
    set_aside.count AS "stripe_set_aside!",
    set_aside.settled_at AS "oldest_set_aside_at?"
FROM (
    SELECT count(*) AS pending,
           count(*) FILTER (WHERE hold_expires_at > $1 AND hold_expires_at <= $2::timestamptz) AS expiring,
           count(*) FILTER (WHERE hold_expires_at <= $1::timestamptz) AS overdue,
           count(*) FILTER (WHERE waitlist_entry_id IS NOT NULL) AS offered,
           min(hold_expires_at) AS first_expires_at
    FROM (
        SELECT hold_expires_at, waitlist_entry_id
        FROM bookings
        WHERE hold_expires_at IS NOT NULL
        ORDER BY hold_expires_at
        LIMIT 10000
    ) AS counted
) AS hold
CROSS JOIN (
    SELECT count(*) AS count
    FROM (SELECT FROM waitlist_entries WHERE status = 'WAITING' ORDER BY bookable_until LIMIT 10000) AS counted
) AS waiting
CROSS JOIN (
    SELECT count(*) AS count, min(noted_at) AS noted_at
    FROM (
        SELECT noted_at
        FROM waitlist_openings
        WHERE next_attempt_at <= $1
        ORDER BY next_attempt_at, opening_id
        LIMIT 10000
    ) AS counted
) AS opening
CROSS JOIN (
    SELECT count(*) AS count, min(received_at) AS received_at
    FROM (
        SELECT received_at FROM stripe_events WHERE state = 'WAITING' ORDER BY next_attempt_at, event_id LIMIT 10000
    ) AS counted
) AS stripe
CROSS JOIN (
    SELECT count(*) AS count, min(settled_at) AS settled_at
    FROM (
        SELECT settled_at FROM stripe_events WHERE state = 'SET_ASIDE' ORDER BY settled_at, dead_letter_id LIMIT 10000
    ) AS counted
) AS set_aside
