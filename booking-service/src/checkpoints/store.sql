-- Event checkpoints: stores a checkpoint ($7 to $14), and moves the position from ($1, $2, $3) to ($4, $5, $6).
--
-- Replicas that read the same events wait for each other at the row of event_stream; those that come later find another
-- position and store nothing. The same holds when the statement runs again after its connection was lost.
WITH moved AS (
    UPDATE event_stream
    SET checkpoint_position = $4::bigint::text::xid8, checkpoint_version = $5, checkpoint_event_id = $6
    WHERE (checkpoint_position, checkpoint_version, checkpoint_event_id) = ($1::bigint::text::xid8, $2, $3)
    RETURNING is_only
)
INSERT INTO event_checkpoints (number, entries, event_count, booking_count, created_at, digest, key_version, mac)
SELECT $7, $8, $9, $10, $11, $12, $13, $14
FROM moved
RETURNING number
