//! Checks the background work: the statistics of every conversation equal those of its scores, and every booking has
//! one follow-up.

use std::sync::Arc;

use teppan_shared::contract::conversation::v1::{
    EmotionStatistics, FollowUpTrigger, GetConversationRequest, ListFollowUpsRequest,
};
use teppan_tests::tool::Trace;

use crate::{
    calls::{Caller, Failure, Method, request},
    connections::Clients,
    plan::Plan,
    progress::Progress,
};

/// Sums of binary fractions differ in their last digits.
const TOLERANCE: f64 = 1e-9;
const RECENT: usize = 10;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Background {
    /// Conversations with scores.
    pub statistics: usize,
    /// Conversations whose statistics differ from their scores.
    pub other_statistics: usize,
    /// Bookings.
    pub expected: usize,
    /// Follow-ups found.
    pub follow_ups: usize,
    pub missing: usize,
    /// More than one follow-up of a booking.
    pub duplicated: usize,
}

impl Background {
    pub fn add(&mut self, other: &Self) {
        self.statistics += other.statistics;
        self.other_statistics += other.other_statistics;
        self.expected += other.expected;
        self.follow_ups += other.follow_ups;
        self.missing += other.missing;
        self.duplicated += other.duplicated;
    }
}

/// Reads the statistics and the follow-ups of one conversation.
pub async fn check(
    caller: Caller,
    clients: Clients,
    plan: Arc<Plan>,
    progress: Progress,
    dialogue: usize,
    booking_id: Option<String>,
) -> (Background, Vec<String>) {
    let conversation_id = plan.conversation(dialogue);
    let scores: Vec<_> = plan.dialogues[dialogue].turns.iter().filter_map(|turn| turn.emotion).collect();
    let mut counts = Background { statistics: usize::from(!scores.is_empty()), ..Default::default() };
    let mut differences = Vec::new();
    match statistics(&caller, &clients, &conversation_id).await {
        Err(failure) => differences.push(format!("statistics of conversation {conversation_id}: {failure}")),
        Ok(found) => {
            let others = others(&scores, &found.unwrap_or_default());
            if !others.is_empty() {
                counts.other_statistics = 1;
                differences.push(format!("statistics of conversation {conversation_id}: other {others}"));
            }
        }
    }
    if let Some(booking_id) = booking_id {
        counts.expected = 1;
        let subject = format!("booking:{booking_id}");
        match follow_ups(&caller, &clients, &conversation_id, &subject).await {
            Err(failure) => differences.push(format!("follow-up of booking {booking_id}: {failure}")),
            Ok(found) => {
                counts.follow_ups = found;
                counts.missing = usize::from(found == 0);
                counts.duplicated = found.saturating_sub(1);
                if found != 1 {
                    differences.push(format!("booking {booking_id}: {found} follow-ups instead of one"));
                }
            }
        }
    }
    progress.advance(1);
    (counts, differences)
}

async fn statistics(
    caller: &Caller,
    clients: &Clients,
    conversation_id: &str,
) -> Result<Option<EmotionStatistics>, Failure> {
    let (trace, get) = (Trace::start(), GetConversationRequest { conversation_id: conversation_id.to_owned() });
    let found = caller.call(Method::GetConversation, || {
        let (mut conversations, get) = (clients.conversations.clone(), get.clone());
        async move { conversations.get_conversation(request(trace, get)).await }
    });
    Ok(found.await?.conversation.and_then(|conversation| conversation.emotion_statistics))
}

async fn follow_ups(
    caller: &Caller,
    clients: &Clients,
    conversation_id: &str,
    subject: &str,
) -> Result<usize, Failure> {
    let trace = Trace::start();
    let list = ListFollowUpsRequest {
        conversation_id: conversation_id.to_owned(),
        trigger: FollowUpTrigger::PostEvent.into(),
        subject: subject.to_owned(),
        ..Default::default()
    };
    let found = caller.call(Method::ListFollowUps, || {
        let (mut follow_ups, list) = (clients.follow_ups.clone(), list.clone());
        async move { follow_ups.list_follow_ups(request(trace, list)).await }
    });
    Ok(found.await?.follow_ups.len())
}

/// The names of the statistics that differ from the scores.
fn others(scores: &[f64], found: &EmotionStatistics) -> String {
    let is = |figure: Option<f64>, expected: Option<f64>| match (figure, expected) {
        (Some(figure), Some(expected)) => (figure - expected).abs() < TOLERANCE,
        (figure, expected) => figure == expected,
    };
    let newest: Vec<_> = scores.iter().rev().copied().collect();
    let trend = newest.get(..4).map(|four| (four[0] + four[1] - four[2] - four[3]) / 2.0);
    let same = [
        ("count", usize::try_from(found.score_count) == Ok(scores.len())),
        ("mean", is(found.mean_score, mean(scores))),
        ("minimum", is(found.minimum_score, scores.iter().copied().reduce(f64::min))),
        ("maximum", is(found.maximum_score, scores.iter().copied().reduce(f64::max))),
        ("recent mean", is(found.recent_mean_score, mean(&newest[..newest.len().min(RECENT)]))),
        ("trend", is(found.trend_delta, trend)),
    ];
    same.iter().filter(|(_, same)| !same).map(|(figure, _)| *figure).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "a conversation has few scores")]
fn mean(scores: &[f64]) -> Option<f64> {
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_computed_from_the_scores_and_compared() {
        let found = EmotionStatistics {
            score_count: 5,
            mean_score: Some(0.5),
            minimum_score: Some(0.1),
            maximum_score: Some(0.9),
            recent_mean_score: Some(0.5),
            trend_delta: Some(0.4),
            ..Default::default()
        };
        assert_eq!(others(&[0.5, 0.1, 0.5, 0.9, 0.5], &found), "");
        assert_eq!(others(&[0.1, 0.5, 0.9], &found), "count, trend");
        assert_eq!(others(&[], &EmotionStatistics::default()), "");
    }
}
