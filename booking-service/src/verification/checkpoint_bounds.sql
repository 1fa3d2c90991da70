-- verify-events: up to where checkpoints cover the events, and when the newest event happened. Read before the
-- checkpoints: they cover at least as much.
SELECT
    reached.checkpoint_position::text::bigint AS "position!",
    reached.checkpoint_version AS "version!",
    reached.checkpoint_event_id AS "event_id!",
    newest.occurred_at AS "newest_event_at?"
FROM event_stream AS reached
LEFT JOIN LATERAL (
    SELECT occurred_at FROM booking_events ORDER BY stream_position DESC, version DESC, event_id DESC LIMIT 1
) AS newest ON true
