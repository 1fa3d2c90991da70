-- StreamBookingEvents, once for each stream: where it stands.
SELECT
    stream_id,
    -- in transaction ids: below this everything is there that ever will be
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "settled_below!",
    -- and everything that is committed now is below this
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "committed_below!",
    -- An event from the future came with a backup from another cluster: see restart_event_stream().
    EXISTS (
        SELECT FROM booking_events WHERE stream_position >= pg_snapshot_xmax(pg_current_snapshot())
    ) AS "is_displaced!",
    newest.stream_position::text::bigint AS "newest_position?",
    newest.version AS "newest_version?",
    newest.event_id AS "newest_event_id?"
FROM event_stream
LEFT JOIN LATERAL (                -- the last event that a reader could have seen by now
    SELECT stream_position, version, event_id
    FROM booking_events
    WHERE stream_position < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY stream_position DESC, version DESC, event_id DESC
    LIMIT 1
) AS newest ON true
