-- Work to do: messages whose score or label is not in the statistics yet, one row each, written by the
-- statement that stores the message and removed by the one that counts it. Rows are only ever added
-- and removed: who stores never waits for who counts, and a row is visible exactly when its message is.
-- Who deletes a conversation locks its rows here first: a run holds them while it writes the rest.
CREATE TABLE emotion_pending (
    conversation_id  text        COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    sequence         bigint      NOT NULL CONSTRAINT emotion_pending_sequence CHECK (sequence >= 1),
    since            timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX emotion_pending_since ON emotion_pending (since);

-- How new the statistics could be. It changes with the row's other counters and has no index either.
ALTER TABLE conversations
    ADD COLUMN newest_scored_sequence bigint NOT NULL DEFAULT 0
    CONSTRAINT conversation_newest_scored CHECK (newest_scored_sequence BETWEEN 0 AND message_count);

-- The emotions of a conversation in order, without the messages between them.
CREATE INDEX messages_emotion ON messages (conversation_id, sequence)
    WHERE emotion_score IS NOT NULL OR emotion_label IS NOT NULL OR emotion_detected <> '{}';

-- What was stored before there were statistics.
UPDATE conversations AS c
SET newest_scored_sequence = scored.newest
FROM (SELECT conversation_id, max(sequence) AS newest FROM messages WHERE emotion_score IS NOT NULL GROUP BY 1) AS scored
WHERE c.conversation_id = scored.conversation_id;
INSERT INTO emotion_pending (conversation_id, sequence, since)
SELECT conversation_id, max(sequence), now()
FROM messages
WHERE emotion_score IS NOT NULL OR emotion_label IS NOT NULL
GROUP BY conversation_id;
