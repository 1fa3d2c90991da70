-- Pending work: one row for each message whose score or label is not in the statistics yet. The statement that stores
-- the message inserts the row, and the statement that counts the message deletes it. Rows are never updated, so storing
-- never waits for counting, and a row becomes visible together with its message.
CREATE TABLE emotion_pending (
    conversation_id  text        COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    sequence         bigint      NOT NULL CONSTRAINT emotion_pending_sequence CHECK (sequence >= 1),
    since            timestamptz NOT NULL,
    PRIMARY KEY (conversation_id, sequence)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX emotion_pending_since ON emotion_pending (since);

-- Statistics of a conversation's scores and labels, over every message up to `aggregated_through`. Scores are summed as
-- the decimals that clients wrote, so the sum is exact. Every run updates the row; the fillfactor leaves room for that.
CREATE TABLE emotion_statistics (
    conversation_id     text             COLLATE "C" PRIMARY KEY REFERENCES conversations ON DELETE CASCADE,
    aggregated_through  bigint           NOT NULL,
    -- The watermark that the last run loaded. A run writes only if the watermark has not changed since it was loaded.
    aggregated_after    bigint           NOT NULL,
    score_count         bigint           NOT NULL,
    score_sum           numeric          NOT NULL,
    score_min           double precision,
    score_max           double precision,
    -- The counts of the first 100 labels, and the common count of all others. Sealed with the conversation and the
    -- watermark as associated data.
    label_counts_sealed bytea            NOT NULL,
    -- The newest ten scores, the oldest of them first. The next run needs no earlier scores.
    recent_scores       numeric[]        NOT NULL CONSTRAINT emotion_statistics_recent CHECK (cardinality(recent_scores) <= 10),
    recent_mean         double precision,
    trend_delta         double precision,
    updated_at          timestamptz      NOT NULL,
    CONSTRAINT emotion_statistics_watermark CHECK (aggregated_after >= 0 AND aggregated_through > aggregated_after),
    CONSTRAINT emotion_statistics_scores CHECK (
        (score_count > 0) = (score_min IS NOT NULL) AND (score_count > 0) = (score_max IS NOT NULL)
        AND (score_count > 0) = (recent_mean IS NOT NULL) AND cardinality(recent_scores) = LEAST(score_count, 10)
        AND (score_count >= 4) = (trend_delta IS NOT NULL))
) WITH (fillfactor = 50);

-- One row for each time when the mean of a conversation's last ten scores fell below 0.3. It has the message with which
-- the mean fell, and the content of the event.
CREATE TABLE escalation_suggestions (
    conversation_id  text             COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
    sequence         bigint           NOT NULL,
    event_id         uuid             NOT NULL CONSTRAINT escalation_suggestions_event UNIQUE,
    recent_mean      double precision NOT NULL CONSTRAINT escalation_suggestion_mean CHECK (recent_mean >= 0 AND recent_mean < 0.3),
    recent_count     integer          NOT NULL CONSTRAINT escalation_suggestion_count CHECK (recent_count BETWEEN 1 AND 10),
    occurred_at      timestamptz      NOT NULL,
    traceparent      text,
    PRIMARY KEY (conversation_id, sequence)
);
