//! Computes the expected statistics from all messages, in whole thousandths.

use std::collections::BTreeMap;

use teppan_shared::contract::conversation::v1::{EmotionLevel, EmotionStatistics, EmotionTrend, Message};

/// Sequence and score, in thousandths, of each scored message, in order.
fn scores(messages: &[Message]) -> Vec<(i64, i64)> {
    let score = |message: &Message| message.emotion.as_ref().and_then(|emotion| emotion.score);
    #[expect(clippy::cast_possible_truncation, reason = "scores are 0 to 1")]
    let thousandths = |score: f64| (score * 1000.0).round() as i64;
    messages.iter().filter_map(|it| Some((it.sequence, thousandths(score(it)?)))).collect()
}

/// The sum and the number of the last ten scores.
fn last_ten(scores: &[(i64, i64)]) -> (i64, i64) {
    let last = &scores[scores.len().saturating_sub(10)..];
    (last.iter().map(|(_, score)| score).sum(), i64::try_from(last.len()).expect("at most ten"))
}

/// The sequences at which the mean of the last ten scores falls below 0.3.
pub fn falls(messages: &[Message]) -> Vec<i64> {
    let scores = scores(messages);
    let mut low_before = false;
    let mut falls = Vec::new();
    for end in 1..=scores.len() {
        let (sum, count) = last_ten(&scores[..end]);
        let low = sum < 300 * count;
        if low && !low_before {
            falls.push(scores[end - 1].0);
        }
        low_before = low;
    }
    falls
}

#[expect(clippy::cast_precision_loss, reason = "the figures are small")]
fn mean(sum: i64, count: i64) -> f64 {
    sum as f64 / (count * 1000) as f64
}

fn close(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
        (found, expected) => found == expected,
    }
}

/// Asserts that the statistics are those of `messages`: all messages of the conversation, in order.
pub fn assert_expected(found: &EmotionStatistics, messages: &[Message]) {
    let scores = scores(messages);
    let count = i64::try_from(scores.len()).expect("few");
    let has_scores = count > 0;
    let sum: i64 = scores.iter().map(|(_, score)| score).sum();
    let lowest = scores.iter().map(|(_, score)| mean(*score, 1)).reduce(f64::min);
    let highest = scores.iter().map(|(_, score)| mean(*score, 1)).reduce(f64::max);
    let (recent_sum, recent_count) = last_ten(&scores);
    let newest: Vec<i64> = scores.iter().rev().take(4).map(|(_, score)| *score).collect();
    // Twice the difference of the means, in thousandths.
    let delta = (newest.len() == 4).then(|| newest[0] + newest[1] - newest[2] - newest[3]);

    let context = format!("{found:?} of {scores:?}");
    assert_eq!(found.score_count, count, "{context}");
    assert!(close(found.mean_score, has_scores.then(|| mean(sum, count))), "{context}");
    assert_eq!((found.minimum_score, found.maximum_score), (lowest, highest), "{context}");
    assert!(close(found.recent_mean_score, has_scores.then(|| mean(recent_sum, recent_count))), "{context}");
    assert_eq!(i64::from(found.recent_score_count), recent_count, "{context}");
    assert!(close(found.trend_delta, delta.map(|delta| mean(delta, 2))), "{context}");
    let trend = match delta {
        None => EmotionTrend::Unspecified,
        Some(300..) => EmotionTrend::Improving,
        Some(..=-300) => EmotionTrend::Declining,
        Some(_) => EmotionTrend::Stable,
    };
    assert_eq!(found.trend(), trend, "{context}");
    let level = match recent_sum {
        _ if !has_scores => EmotionLevel::Unspecified,
        sum if sum < 400 * recent_count => EmotionLevel::Negative,
        sum if sum > 600 * recent_count => EmotionLevel::Positive,
        _ => EmotionLevel::Neutral,
    };
    assert_eq!(found.level(), level, "{context}");
    assert_eq!(found.escalation_suggested, has_scores && recent_sum < 300 * recent_count, "{context}");

    let mut labels = BTreeMap::<&str, i64>::new();
    let counted = |it: &&Message| it.emotion.as_ref().is_some_and(|it| it.score.is_some() || !it.label.is_empty());
    for message in messages.iter().filter(counted) {
        let label = message.emotion.as_ref().map_or("", |emotion| emotion.label.as_str());
        if !label.is_empty() {
            *labels.entry(label).or_default() += 1;
        }
    }
    let mut labels: Vec<_> = labels.into_iter().collect();
    labels.sort_by_key(|(_, count)| -count);
    let found_labels: Vec<_> = found.label_counts.iter().map(|it| (it.label.as_str(), it.count)).collect();
    assert_eq!(found_labels, labels, "{context}");

    let newest = messages.iter().filter(counted).map(|message| message.sequence).max();
    assert_eq!(found.aggregated_through, newest.unwrap_or(0), "{context}");
    assert_eq!(found.newest_scored_sequence, scores.last().map_or(0, |(sequence, _)| *sequence), "{context}");
    assert!(found.updated_at.is_some(), "{context}");
}
