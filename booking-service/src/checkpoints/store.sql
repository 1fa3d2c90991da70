-- Event checkpoints: stores a checkpoint ($7 to $15), moves the position from ($1, $2, $3) to ($4, $5, $6), and writes
-- the messages of its event to the destinations $16. Each is an aggregate of its own: it has its number, so consumers
-- need no order, and one that cannot be delivered holds up no other.
--
-- Replicas that read the same events wait for each other at the row of event_stream; those that come later find another
-- position and store nothing. The same holds when the statement runs again after its connection was lost.
WITH moved AS (
    UPDATE event_stream
    SET checkpoint_position = $4::bigint::text::xid8, checkpoint_version = $5, checkpoint_event_id = $6
    WHERE (checkpoint_position, checkpoint_version, checkpoint_event_id) = ($1::bigint::text::xid8, $2, $3)
    RETURNING is_only
),
stored AS (
    INSERT INTO event_checkpoints (
        number, entries, event_count, booking_count, created_at, event_id, digest, key_version, mac)
    SELECT $7, $8, $9, $10, $11, $12, $13, $14, $15
    FROM moved
    RETURNING number, created_at, event_id
),
published AS (
    INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
    SELECT event_id, destination, 'checkpoints/' || number, number, created_at, created_at
    FROM stored
    CROSS JOIN unnest($16::text[]) AS destination
)
SELECT number FROM stored
