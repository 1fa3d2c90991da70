-- Waitlist review: reviews the waiting entries of a venue whose policy has changed, at most 500 in one run.
--
-- One row: how many entries were reviewed. Less than 500 means that the review is complete, or that another process has
-- locked it. The statement notes an opening for each slot of the entries, so that seats which the venue's new policy
-- allows are offered. It sets an earlier `bookable_until` where the new policy requires one; close_entries.sql sets a
-- later one.
--
-- Entries are locked in the order of slot and queue number; nothing is locked after them.
WITH review AS MATERIALIZED (
    SELECT review_id, venue_id, after_date, after_time, after_queue_number
    FROM waitlist_reviews
    ORDER BY review_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
batch AS MATERIALIZED (
    SELECT r.review_id, w.*
    FROM review r
    CROSS JOIN LATERAL (
        SELECT e.waitlist_entry_id, e.venue_id, e.slot_date, e.start_time, e.queue_number, e.bookable_until,
               COALESCE(e.from_time, e.start_time) AS from_time, COALESCE(e.until_time, e.start_time) AS until_time
        FROM waitlist_entries e
        WHERE e.venue_id = r.venue_id AND e.status = 'WAITING' AND e.queue_number > 0
          AND (e.slot_date, e.start_time, e.queue_number) > (r.after_date, r.after_time, r.after_queue_number)
        ORDER BY e.slot_date, e.start_time, e.queue_number
        LIMIT 500
    ) AS w
),
shorter AS MATERIALIZED (
    SELECT b.waitlist_entry_id, b.slot_date, b.start_time, b.queue_number,
           s.starts_at - make_interval(mins => v.notice_minutes) AS bookable_until
    FROM batch b
    CROSS JOIN LATERAL (           -- the last slot that the entry waits for
        SELECT s.starts_at
        FROM slots s
        WHERE s.venue_id = b.venue_id AND s.slot_date = b.slot_date AND s.start_time BETWEEN b.from_time AND b.until_time
        ORDER BY s.start_time DESC
        LIMIT 1
    ) AS s
    JOIN venues v USING (venue_id)
    WHERE s.starts_at - make_interval(mins => v.notice_minutes) < b.bookable_until
),
locked AS MATERIALIZED (           -- row lock; sees the latest committed version
    SELECT w.waitlist_entry_id, w.status, shorter.bookable_until
    FROM shorter
    JOIN waitlist_entries w USING (waitlist_entry_id)
    ORDER BY shorter.slot_date, shorter.start_time, shorter.queue_number
    FOR NO KEY UPDATE OF w
),
entry AS (
    UPDATE waitlist_entries w
    SET bookable_until = locked.bookable_until
    FROM locked
    WHERE w.waitlist_entry_id = locked.waitlist_entry_id AND locked.status = 'WAITING'
),
noted AS (
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT DISTINCT s.venue_id, s.slot_date, s.start_time, clock_timestamp()
    FROM batch b
    CROSS JOIN LATERAL (
        SELECT s.venue_id, s.slot_date, s.start_time
        FROM slots s
        WHERE s.venue_id = b.venue_id AND s.slot_date = b.slot_date AND s.start_time BETWEEN b.from_time AND b.until_time
        LIMIT 1440
    ) AS s
),
went_on AS (
    UPDATE waitlist_reviews r
    SET after_date = last.slot_date, after_time = last.start_time, after_queue_number = last.queue_number
    FROM (SELECT * FROM batch ORDER BY slot_date DESC, start_time DESC, queue_number DESC LIMIT 1) AS last
    WHERE r.review_id = last.review_id AND (SELECT count(*) FROM batch) = 500
),
ended AS (
    DELETE FROM waitlist_reviews r
    USING review
    WHERE r.review_id = review.review_id AND (SELECT count(*) FROM batch) < 500
)
SELECT count(*) AS "reviewed!" FROM batch
