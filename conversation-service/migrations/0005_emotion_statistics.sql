-- What a conversation's scores and labels say, over every message up to `aggregated_through`. Sums are
-- kept in decimals, of the 15 digits that a double is sure to hold. They add up to the same in any
-- order: adding new scores gives exactly what computing everything anew would. Every run rewrites the
-- row: its next versions fit on the same page.
CREATE TABLE emotion_statistics (
    conversation_id     text             COLLATE "C" PRIMARY KEY REFERENCES conversations ON DELETE CASCADE,
    aggregated_through  bigint           NOT NULL,
    -- The watermark from which the last run started. A run writes only where it is still there.
    aggregated_after    bigint           NOT NULL,
    score_count         bigint           NOT NULL,
    score_sum           numeric          NOT NULL,
    score_min           double precision,
    score_max           double precision,
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
