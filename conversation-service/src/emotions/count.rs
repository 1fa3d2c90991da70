//! Adds new messages to the statistics of their conversation. Pure.

use std::str::FromStr as _;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::{label_counts::LabelCounts, statistics::ESCALATE_BELOW};

/// The number of scores in the recent mean.
const RECENT_MAX: usize = 10;

/// The scores of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scores {
    #[serde(rename = "score_count")]
    pub count: i64,
    /// Exact: scores are the decimals that clients wrote.
    #[serde(rename = "score_sum", serialize_with = "as_text")]
    pub sum: BigDecimal,
    #[serde(rename = "score_min")]
    pub min: Option<f64>,
    #[serde(rename = "score_max")]
    pub max: Option<f64>,
}

impl Scores {
    fn add(&mut self, score: f64) {
        self.count += 1;
        self.sum += decimal(score);
        self.min = Some(self.min.map_or(score, |min| min.min(score)));
        self.max = Some(self.max.map_or(score, |max| max.max(score)));
    }
}

fn as_text<S: Serializer>(decimal: &BigDecimal, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(decimal)
}

/// The part of a conversation's statistics that the next ones depend on.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// When the conversation began: its id may be used again after it was deleted.
    pub created_at: DateTime<Utc>,
    /// The watermark.
    pub through: i64,
    pub scores: Scores,
    pub label_counts: LabelCounts,
    /// The newest scores, the oldest of them first.
    pub recent_scores: Vec<f64>,
}

/// A message after the watermark.
#[derive(Debug, Clone, Default)]
pub struct FreshMessage {
    pub sequence: i64,
    pub score: Option<f64>,
    pub label: Option<String>,
    pub traceparent: Option<String>,
}

/// The result of a run for a conversation: an object in the parameter of `aggregate_commit.sql`.
#[derive(Debug, Serialize)]
pub struct Counted {
    pub conversation_id: String,
    created_at: DateTime<Utc>,
    through_before: i64,
    pub through: i64,
    #[serde(flatten)]
    scores: Scores,
    /// A parameter of its own, because it is sealed.
    #[serde(skip)]
    pub label_counts: LabelCounts,
    recent_scores: Vec<f64>,
    recent_mean: Option<f64>,
    /// Mean of the newest two scores minus mean of the two before; `None` below four scores.
    trend_delta: Option<f64>,
    falls: Vec<Fall>,
}

impl Counted {
    /// Whether there are messages after the watermark. Otherwise an earlier run has counted all that are pending.
    pub fn has_grown(&self) -> bool {
        self.through > self.through_before
    }
}

/// A message with which the recent mean fell below the bound.
#[derive(Debug, Serialize)]
struct Fall {
    sequence: i64,
    recent_mean: f64,
    recent_count: usize,
    traceparent: Option<String>,
}

/// Counts messages, which must be in the order of their sequences.
pub fn count(conversation_id: String, before: Before, fresh: Vec<FreshMessage>) -> Counted {
    let Before { created_at, through: through_before, mut scores, mut label_counts, mut recent_scores } = before;
    let through = fresh.last().map_or(through_before, |last| last.sequence);
    let mut recent_mean = mean(&recent_scores);
    let mut falls = Vec::new();
    for message in fresh {
        if let Some(label) = message.label {
            label_counts.add(label);
        }
        let Some(score) = message.score else { continue };
        scores.add(score);
        recent_scores.push(score);
        recent_scores.drain(..recent_scores.len().saturating_sub(RECENT_MAX));
        let was_low = recent_mean.is_some_and(is_low);
        recent_mean = mean(&recent_scores);
        if let Some(recent_mean) = recent_mean.filter(|mean| is_low(*mean) && !was_low) {
            let recent_count = recent_scores.len();
            falls.push(Fall {
                sequence: message.sequence,
                recent_mean,
                recent_count,
                traceparent: message.traceparent,
            });
        }
    }
    let trend_delta = trend_delta(&recent_scores);
    Counted {
        conversation_id,
        created_at,
        through_before,
        through,
        scores,
        label_counts,
        recent_scores,
        recent_mean,
        trend_delta,
        falls,
    }
}

fn is_low(mean: f64) -> bool {
    mean < ESCALATE_BELOW
}

fn mean(scores: &[f64]) -> Option<f64> {
    let count = u32::try_from(scores.len()).ok().filter(|count| *count > 0)?;
    Some(nearest(&(sum(scores) / BigDecimal::from(count))))
}

fn trend_delta(scores: &[f64]) -> Option<f64> {
    let (_, newest) = scores.split_at_checked(scores.len().checked_sub(4)?)?;
    Some(nearest(&((sum(&newest[2..]) - sum(&newest[..2])) / BigDecimal::from(2))))
}

/// The sum of the scores as the decimals that clients wrote: ten scores of 0.3 are 3.
fn sum(scores: &[f64]) -> BigDecimal {
    scores.iter().map(|score| decimal(*score)).sum()
}

/// The text of a double is the shortest decimal that parses to it.
fn decimal(score: f64) -> BigDecimal {
    BigDecimal::from_str(&score.to_string()).unwrap_or_default()
}

/// The double that is nearest to a decimal.
fn nearest(decimal: &BigDecimal) -> f64 {
    decimal.to_string().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[f64]) -> Vec<FreshMessage> {
        let message =
            |(sequence, score): (i64, &f64)| FreshMessage { sequence, score: Some(*score), ..Default::default() };
        (1..).zip(scores).map(message).collect()
    }

    fn counted(before: Before, fresh: Vec<FreshMessage>) -> Counted {
        count("web-7f3a91".to_owned(), before, fresh)
    }

    #[test]
    fn means_are_computed_exactly_in_decimals() {
        let low = counted(Before::default(), scored(&[0.3; 10]));
        assert_eq!((low.recent_mean, low.falls.len()), (Some(0.3), 0));
        assert_eq!(counted(Before::default(), scored(&[0.45, 0.45, 0.6, 0.6])).trend_delta, Some(0.15));
        let scores = counted(Before::default(), scored(&[0.1, 0.7, 0.2])).scores;
        assert_eq!((scores.count, scores.sum.to_string()), (3, "1.0".to_owned()));
        assert_eq!((scores.min, scores.max), (Some(0.1), Some(0.7)));
        for score in [f64::MIN_POSITIVE, 1.0 / 3.0, 0.1 + 0.2, f64::from_bits(0.3_f64.to_bits() - 1)] {
            assert_eq!(counted(Before::default(), scored(&[score; 7])).recent_mean, Some(score));
        }
    }

    #[test]
    fn a_fall_of_the_mean_is_found_once_whether_messages_are_counted_together_or_one_by_one() {
        let scores: Vec<f64> = [(0.9, 12), (0.1, 12), (0.9, 12), (0.0, 9), (1.0, 10), (0.05, 15)]
            .into_iter()
            .flat_map(|(score, times)| std::iter::repeat_n(score, times))
            .collect();
        let sequences = |counted: &Counted| counted.falls.iter().map(|fall| fall.sequence).collect::<Vec<_>>();
        let together = counted(Before::default(), scored(&scores));
        let (mut before, mut alone) = (Before::default(), Vec::new());
        for message in scored(&scores) {
            let one = counted(before, vec![message]);
            alone.extend(sequences(&one));
            let Counted { created_at, through, scores, label_counts, recent_scores, .. } = one;
            before = Before { created_at, through, scores, label_counts, recent_scores };
        }
        assert_eq!(sequences(&together).len(), 3);
        assert_eq!(sequences(&together), alone);
        assert_eq!((together.recent_scores, together.through), (before.recent_scores, before.through));
        assert_eq!(together.scores, before.scores);
    }

    #[test]
    fn without_new_messages_the_watermark_does_not_change() {
        let counted = counted(Before { through: 7, ..Default::default() }, Vec::new());
        assert_eq!((counted.through_before, counted.through), (7, 7));
    }
}
