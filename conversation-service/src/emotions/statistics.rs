use chrono::{DateTime, Utc};

/// Below this mean, a member of staff should take over.
pub const ESCALATE_BELOW: f64 = 0.3;
const NEGATIVE_BELOW: f64 = 0.4;
const POSITIVE_ABOVE: f64 = 0.6;
/// The least change that counts as a trend.
const TREND_FROM: f64 = 0.15;

/// The statistics of a conversation's scores and labels, over every message up to the watermark.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmotionStatistics {
    pub score_count: i64,
    pub mean_score: Option<f64>,
    pub minimum_score: Option<f64>,
    pub maximum_score: Option<f64>,
    /// The mean of the newest ten scores, or of all when there are fewer.
    pub recent_mean: Option<f64>,
    pub recent_count: i32,
    /// Mean of the newest two scores minus mean of the two before; `None` below four scores.
    pub trend_delta: Option<f64>,
    /// The most frequent first, then by label. Only the first labels of a conversation are counted by name.
    pub label_counts: Vec<(String, i64)>,
    /// Messages with any of the other labels.
    pub other_label_count: i64,
    /// The watermark: the newest message that is covered; 0 before the first run.
    pub aggregated_through: i64,
    /// The statistics are complete when the watermark has reached it.
    pub newest_scored_sequence: i64,
    pub updated_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmotionLevel {
    Negative,
    Neutral,
    Positive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmotionTrend {
    Improving,
    Stable,
    Declining,
}

impl EmotionLevel {
    /// The level of a mean score.
    pub fn of(mean: f64) -> Self {
        match mean {
            mean if mean < NEGATIVE_BELOW => Self::Negative,
            mean if mean > POSITIVE_ABOVE => Self::Positive,
            _ => Self::Neutral,
        }
    }
}

impl EmotionStatistics {
    /// The level of the recent mean.
    pub fn level(&self) -> Option<EmotionLevel> {
        self.recent_mean.map(EmotionLevel::of)
    }

    pub fn trend(&self) -> Option<EmotionTrend> {
        self.trend_delta.map(|delta| match delta {
            delta if delta >= TREND_FROM => EmotionTrend::Improving,
            delta if delta <= -TREND_FROM => EmotionTrend::Declining,
            _ => EmotionTrend::Stable,
        })
    }

    /// Whether a member of staff should take over.
    pub fn escalation_suggested(&self) -> bool {
        self.recent_mean.is_some_and(|mean| mean < ESCALATE_BELOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_levels_are_neutral_and_a_mean_of_03_suggests_no_escalation() {
        let of = |mean| EmotionStatistics { recent_mean: Some(mean), ..Default::default() };
        let expected = [
            (0.0, EmotionLevel::Negative, true),
            (0.299, EmotionLevel::Negative, true),
            (0.3, EmotionLevel::Negative, false),
            (0.4, EmotionLevel::Neutral, false),
            (0.6, EmotionLevel::Neutral, false),
            (0.601, EmotionLevel::Positive, false),
        ];
        for (mean, level, escalation) in expected {
            assert_eq!((of(mean).level(), of(mean).escalation_suggested()), (Some(level), escalation), "{mean}");
        }
        let none = EmotionStatistics::default();
        assert_eq!((none.level(), none.trend(), none.escalation_suggested()), (None, None, false));
    }

    #[test]
    fn a_change_of_exactly_015_is_a_trend() {
        let of = |delta| EmotionStatistics { trend_delta: Some(delta), ..Default::default() }.trend();
        assert_eq!(of(0.15), Some(EmotionTrend::Improving));
        assert_eq!(of(-0.15), Some(EmotionTrend::Declining));
        for stable in [0.149, 0.0, -0.149] {
            assert_eq!(of(stable), Some(EmotionTrend::Stable));
        }
    }
}
