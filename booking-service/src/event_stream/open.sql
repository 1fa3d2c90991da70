-- StreamBookingEvents, once for each call: the bounds of the stream, as transaction ids.
SELECT
    stream_id,
    -- every transaction below this has ended: no more events can appear below it
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "settled_below!",
    -- every event that is committed now is below this
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "committed_below!",
    -- Events with future transaction ids come from a backup of another cluster: see restart_event_stream().
    EXISTS (
        SELECT FROM booking_events WHERE stream_position >= pg_snapshot_xmax(pg_current_snapshot())
    ) AS "has_future_events!",
    newest.stream_position::text::bigint AS "newest_position?",
    newest.version AS "newest_version?",
    newest.event_id AS "newest_event_id?"
FROM event_stream
LEFT JOIN LATERAL (                -- the newest event that readers can see now
    SELECT stream_position, version, event_id
    FROM booking_events
    WHERE stream_position < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY stream_position DESC, version DESC, event_id DESC
    LIMIT 1
) AS newest ON true
