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

-- What a conversation's scores and labels say, over every message up to `aggregated_through`. Sums are kept in the
-- decimals that clients wrote. They add up to the same in any order: adding new scores gives exactly what computing
-- everything anew would. Every run rewrites the row: its next versions fit on the same page.
CREATE TABLE emotion_statistics (
    conversation_id     text             COLLATE "C" PRIMARY KEY REFERENCES conversations ON DELETE CASCADE,
    aggregated_through  bigint           NOT NULL,
    -- The watermark from which the last run started. A run writes only where it is still there.
    aggregated_after    bigint           NOT NULL,
    score_count         bigint           NOT NULL,
    score_sum           numeric          NOT NULL,
    score_min           double precision,
    score_max           double precision,
    -- Of the first 100 labels each, and under '' of all others together.
    label_counts        jsonb            NOT NULL,
    -- The newest ten scores, the oldest of them first: all that the next run needs to know of the past.
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

-- One row for each time the mean of a conversation's last ten scores fell below 0.3: the message with
-- which it fell, and what the event of it says.
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
