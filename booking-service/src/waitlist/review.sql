-- Waitlist review: who waits at a venue whose policy has changed, 500 at most at once.
--
-- One row: how many were gone through; less than 500 when that was the end of it, or somebody else is at it.
-- Each slot that they wait for is noted, so that seats that the venue gives now are offered; and whoever may
-- wait for a shorter time gets the new time. Who may wait for longer gets it from close_waitlist_entries.sql.
--
-- Entries are locked in the order of slot and place, after which nothing is locked any more.
WITH review AS MATERIALIZED (
    SELECT review_id, venue_id, after_date, after_time, after_place
    FROM waitlist_reviews
    ORDER BY review_id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
),
batch AS MATERIALIZED (
    SELECT r.review_id, w.*
    FROM review r
    CROSS JOIN LATERAL (
        SELECT e.waitlist_entry_id, e.venue_id, e.slot_date, e.start_time, e.place, e.bookable_until
        FROM waitlist_entries e
        WHERE e.venue_id = r.venue_id AND e.status = 'WAITING' AND e.place > 0
          AND (e.slot_date, e.start_time, e.place) > (r.after_date, r.after_time, r.after_place)
        ORDER BY e.slot_date, e.start_time, e.place
        LIMIT 500
    ) AS w
),
shorter AS MATERIALIZED (
    SELECT b.waitlist_entry_id, b.slot_date, b.start_time, b.place,
           s.starts_at - make_interval(mins => v.notice_minutes) AS bookable_until
    FROM batch b
    JOIN slots s USING (venue_id, slot_date, start_time)
    JOIN venues v USING (venue_id)
    WHERE s.starts_at - make_interval(mins => v.notice_minutes) < b.bookable_until
),
held AS MATERIALIZED (             -- locked, and read as it is once the lock is there
    SELECT w.waitlist_entry_id, w.status, shorter.bookable_until
    FROM shorter
    JOIN waitlist_entries w USING (waitlist_entry_id)
    ORDER BY shorter.slot_date, shorter.start_time, shorter.place
    FOR NO KEY UPDATE OF w
),
entry AS (
    UPDATE waitlist_entries w
    SET bookable_until = held.bookable_until
    FROM held
    WHERE w.waitlist_entry_id = held.waitlist_entry_id AND held.status = 'WAITING'
),
noted AS (
    INSERT INTO waitlist_openings (venue_id, slot_date, start_time, noted_at)
    SELECT venue_id, slot_date, start_time, clock_timestamp() FROM batch GROUP BY venue_id, slot_date, start_time
),
went_on AS (
    UPDATE waitlist_reviews r
    SET after_date = last.slot_date, after_time = last.start_time, after_place = last.place
    FROM (SELECT * FROM batch ORDER BY slot_date DESC, start_time DESC, place DESC LIMIT 1) AS last
    WHERE r.review_id = last.review_id AND (SELECT count(*) FROM batch) = 500
),
ended AS (
    DELETE FROM waitlist_reviews r
    USING review
    WHERE r.review_id = review.review_id AND (SELECT count(*) FROM batch) < 500
)
SELECT count(*) AS "reviewed!" FROM batch
