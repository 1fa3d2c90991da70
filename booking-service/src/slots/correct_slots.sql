-- Time zone rules: moves slots to the instants of their local times by newer rules. Their length stays.
--
-- If a slot was moved, the days from $6 on become due for layout again: a local time that the old rules skipped may
-- exist now. The venue's waiting entries become due for a review, because their `bookable_until` may change.
WITH venue AS MATERIALIZED (       -- locked first, as in every statement that lays out slots; not if newer rules are in use
    SELECT venue_id FROM venues WHERE venue_id = $1 AND time_zone = $2 AND time_zone_rules_newest <= $7 FOR NO KEY UPDATE
),
locked AS MATERIALIZED (           -- locked by key, as in every statement
    SELECT s.venue_id, s.slot_date, s.start_time, w.starts_at
    FROM venue
    CROSS JOIN unnest($3::date[], $4::time[], $5::timestamptz[]) AS w (slot_date, start_time, starts_at)
    JOIN slots s ON s.venue_id = venue.venue_id AND s.slot_date = w.slot_date AND s.start_time = w.start_time
    ORDER BY s.slot_date, s.start_time
    FOR NO KEY UPDATE OF s
),
moved AS (
    UPDATE slots s
    SET starts_at = locked.starts_at, ends_at = locked.starts_at + (s.ends_at - s.starts_at)
    FROM locked
    WHERE s.venue_id = locked.venue_id AND s.slot_date = locked.slot_date AND s.start_time = locked.start_time
    RETURNING s.venue_id
),
due AS (
    UPDATE weekly_schedules w SET next_layout_at = $8::timestamptz FROM venue
    WHERE w.venue_id = venue.venue_id AND EXISTS (SELECT FROM moved)
),
noted AS (
    UPDATE venues v SET laid_out_until = LEAST(v.laid_out_until, $6::date - 1) FROM venue
    WHERE v.venue_id = venue.venue_id AND EXISTS (SELECT FROM moved)
),
review AS (
    INSERT INTO waitlist_reviews (venue_id)
    SELECT venue_id FROM venue
    WHERE EXISTS (SELECT FROM moved) AND EXISTS (
        SELECT FROM waitlist_entries e WHERE e.venue_id = $1 AND e.status = 'WAITING' AND e.queue_number > 0)
)
SELECT count(*) AS "moved!" FROM moved
