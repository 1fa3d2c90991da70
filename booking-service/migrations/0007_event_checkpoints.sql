-- Signed checkpoints of the events. Whoever can write to the database can also compute the hashes in booking_events
-- again, so the chains alone do not prove that history is unchanged. A checkpoint states the hashes of a batch of
-- events, and is signed with a key that is not in the database. A worker writes checkpoints shortly after the events
-- are committed (src/checkpoints), and `verify-events` compares them with the events.
--
-- The position in the stream up to which checkpoints cover the events is in event_stream.
CREATE TABLE event_checkpoints (
    -- 1, 2, 3 and so on, so that a missing checkpoint is noticed.
    number         bigint      PRIMARY KEY CONSTRAINT event_checkpoint_number CHECK (number >= 1),
    -- For each event, in the order of the stream: booking id (16 bytes), version (8), first half of its hash (16).
    entries        bytea       NOT NULL CONSTRAINT event_checkpoint_entries
                               CHECK (octet_length(entries) BETWEEN 40 AND 80000 AND octet_length(entries) % 40 = 0),
    -- Entries of this checkpoint and of all before it: of all events, and of first events.
    event_count    bigint      NOT NULL,
    booking_count  bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    -- Of the published event that states the checkpoint (see outbox_events).
    event_id       uuid        NOT NULL CONSTRAINT event_checkpoints_event_key UNIQUE,
    -- SHA-256 of the columns above but the event id, and of the digest of the checkpoint before this one.
    digest         bytea       NOT NULL CONSTRAINT event_checkpoint_digest CHECK (octet_length(digest) = 32),
    -- HMAC-SHA-256 of the digest, with the key of this version.
    key_version    integer     NOT NULL,
    mac            bytea       NOT NULL CONSTRAINT event_checkpoint_mac CHECK (octet_length(mac) = 32),
    CONSTRAINT event_checkpoint_counts CHECK (event_count >= number AND booking_count BETWEEN 0 AND event_count)
);

-- Hashes cannot be compressed.
ALTER TABLE event_checkpoints ALTER COLUMN entries SET STORAGE EXTERNAL;
