-- Event checkpoints: the newest checkpoint, the position in the stream that it reached, and up to $1 events after that
-- position, in the order of the stream. Events above the watermark wait, as in stream_events.sql. One snapshot.
-- Returns one row without an event when there is none.
WITH head AS MATERIALIZED (
    SELECT reached.checkpoint_position, reached.checkpoint_version, reached.checkpoint_event_id,
           newest.number, newest.event_count, newest.booking_count, newest.digest, newest.created_at
    FROM event_stream AS reached
    LEFT JOIN LATERAL (
        SELECT number, event_count, booking_count, digest, created_at
        FROM event_checkpoints
        ORDER BY number DESC
        LIMIT 1
    ) AS newest ON true
)
SELECT
    head.checkpoint_position::text::bigint AS "reached_position!",
    head.checkpoint_version AS "reached_version!",
    head.checkpoint_event_id AS "reached_event_id!",
    head.number AS "number?",
    head.event_count AS "event_count?",
    head.booking_count AS "booking_count?",
    head.digest AS "digest?",
    head.created_at AS "created_at?",
    e.stream_position::text::bigint AS "stream_position?",
    e.version AS "version?",
    e.event_id AS "event_id?",
    e.booking_id AS "booking_id?",
    e.occurred_at AS "occurred_at?",
    e.hash AS "hash?"
FROM head
LEFT JOIN LATERAL (
    SELECT stream_position, version, event_id, booking_id, occurred_at, hash
    FROM booking_events
    WHERE (stream_position, version, event_id)
              > (head.checkpoint_position, head.checkpoint_version, head.checkpoint_event_id)
      AND stream_position < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY stream_position, version, event_id
    LIMIT $1
) AS e ON true
ORDER BY e.stream_position, e.version, e.event_id
