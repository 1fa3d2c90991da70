use std::collections::HashMap;

use chrono::{DateTime, Utc};
use strum::VariantArray;

use super::{ConversationPage, ConversationStatus};
use crate::{
    domain::{Channel, UserId},
    emotions::EmotionLevel,
    handoffs::{Assignee, EscalationReason, HeldConversation, Holder},
};

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationOrder {
    /// By the time when they began.
    NewestFirst,
    /// Escalated ones, by the time since which their present holder holds them.
    LongestWaitingFirst,
}

/// The filters of a list. `None` matches any value.
#[derive(Debug, Clone, Default)]
pub struct ConversationFilter {
    pub user_id: Option<UserId>,
    pub channel: Option<Channel>,
    pub status: Option<ConversationStatus>,
    pub created_from: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    pub holder: Option<HolderFilter>,
    pub reason: Option<EscalationReason>,
    pub level: Option<EmotionLevel>,
    pub stale_by: Option<StaleBy>,
}

/// Who holds a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HolderFilter {
    Assistant,
    Queue,
    /// `None` matches every person.
    Person(Option<Assignee>),
}

/// The messages of a conversation by which its summary may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleBy(i64);

impl StaleBy {
    pub fn parse(raw: i64) -> Result<Self, &'static str> {
        if raw >= 0 { Ok(Self(raw)) } else { Err("must be 0 or more") }
    }
}

/// What filters need to know of a conversation beside its row and its handoff.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// The watermark of the summary.
    pub through_sequence: Option<i64>,
    pub recent_mean: Option<f64>,
}

impl HolderFilter {
    fn matches(&self, holder: &Holder) -> bool {
        match (self, holder) {
            (Self::Assistant, Holder::Assistant)
            | (Self::Queue, Holder::Queue)
            | (Self::Person(None), Holder::Person(_)) => true,
            (Self::Person(Some(wanted)), Holder::Person(assignee)) => wanted == assignee,
            _ => false,
        }
    }
}

impl ConversationFilter {
    pub fn channels(&self) -> Vec<&'static str> {
        let wanted = |channel: &&Channel| self.channel.is_none_or(|it| it == **channel);
        Channel::VARIANTS.iter().filter(wanted).map(AsRef::as_ref).collect()
    }

    /// The states that every filter allows.
    pub fn statuses(&self) -> Vec<&'static str> {
        let is_held = |status| match (&self.holder, self.reason) {
            (None, None) => true,
            (Some(HolderFilter::Assistant), None) => status != ConversationStatus::Escalated,
            (Some(HolderFilter::Assistant), Some(_)) => false,
            _ => status == ConversationStatus::Escalated,
        };
        let wanted = |status: &&ConversationStatus| self.status.is_none_or(|it| it == **status) && is_held(**status);
        ConversationStatus::VARIANTS.iter().filter(wanted).map(AsRef::as_ref).collect()
    }

    /// The key of one holder's list in the order of waiting: the person, or `""` for the queue.
    pub fn one_holder(&self) -> Option<&str> {
        match &self.holder {
            Some(HolderFilter::Queue) => Some(""),
            Some(HolderFilter::Person(assignee)) => assignee.as_ref().map(Assignee::as_str),
            _ => None,
        }
    }

    /// Whether a filter is not part of the index by which a list in this order is read.
    pub fn exceeds_index(&self, order: ConversationOrder) -> bool {
        let beyond_either = self.reason.is_some() || self.needs_figures();
        beyond_either
            || match order {
                ConversationOrder::NewestFirst => {
                    matches!(self.holder, Some(HolderFilter::Queue | HolderFilter::Person(_)))
                }
                ConversationOrder::LongestWaitingFirst => {
                    self.holder == Some(HolderFilter::Person(None))
                        || self.user_id.is_some()
                        || self.channel.is_some()
                        || self.created_from.is_some()
                        || self.created_before.is_some()
                }
            }
    }

    pub fn needs_figures(&self) -> bool {
        self.level.is_some() || self.stale_by.is_some()
    }

    fn matches(&self, held: &HeldConversation, figures: Figures) -> bool {
        let conversation = &held.conversation;
        let is_stale = |StaleBy(by)| conversation.message_count - figures.through_sequence.unwrap_or(0) > by;
        self.user_id.as_ref().is_none_or(|user_id| conversation.user_id.as_ref() == Some(user_id))
            && self.channel.is_none_or(|channel| channel == conversation.channel)
            && self.created_from.is_none_or(|from| conversation.created_at >= from)
            && self.created_before.is_none_or(|before| conversation.created_at < before)
            && self.holder.as_ref().is_none_or(|holder| holder.matches(&held.holder()))
            && self.reason.is_none_or(|reason| held.handoff.as_ref().is_some_and(|it| it.reason == reason))
            && self.level.is_none_or(|level| figures.recent_mean.map(EmotionLevel::of) == Some(level))
            && self.stale_by.is_none_or(is_stale)
    }

    /// The first conversations of a page that match, of those that were looked at.
    pub fn select(
        &self,
        looked_at: ConversationPage,
        figures: &HashMap<String, Figures>,
        order: ConversationOrder,
        page_size: u16,
    ) -> ConversationPage {
        let matches = |held: &HeldConversation| {
            let figures = figures.get(held.conversation.conversation_id.as_str()).copied().unwrap_or_default();
            self.matches(held, figures)
        };
        let mut matching = looked_at.conversations.into_iter().filter(matches);
        let conversations: Vec<_> = matching.by_ref().take(page_size.into()).collect();
        let is_full = matching.next().is_some();
        let last = conversations.last().filter(|_| is_full).map(|held| held.cursor(order));
        ConversationPage { conversations, next: last.or(looked_at.next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversations::{Conversation, ConversationCursor},
        domain::ConversationId,
        handoffs::Handoff,
    };

    fn held(name: &str, message_count: i64) -> HeldConversation {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let conversation = Conversation {
            conversation_id: ConversationId::parse(name.to_owned()).expect("an id"),
            user_id: None,
            channel: Channel::Web,
            status: ConversationStatus::Open,
            message_count,
            newest_scored_sequence: 0,
            last_message_at: now,
            created_at: now,
            updated_at: now,
            closed_at: None,
        };
        HeldConversation { conversation, handoff: None, version: 0 }
    }

    fn with(name: &str, assignee: Option<&str>) -> HeldConversation {
        let mut held = held(name, 1);
        held.conversation.status = ConversationStatus::Escalated;
        let now = held.conversation.created_at;
        held.handoff = Some(Handoff {
            escalated_at: now,
            reason: EscalationReason::LowEmotion,
            assignee: assignee.map(person),
            held_since: now,
        });
        held
    }

    fn person(name: &str) -> Assignee {
        Assignee::parse(name.to_owned()).expect("a name")
    }

    fn names(page: &ConversationPage) -> Vec<&str> {
        page.conversations.iter().map(|held| held.conversation.conversation_id.as_str()).collect()
    }

    fn select(
        filter: &ConversationFilter,
        looked_at: Vec<HeldConversation>,
        next: Option<ConversationCursor>,
    ) -> ConversationPage {
        let through = |through| Figures { through_sequence: Some(through), recent_mean: Some(0.3) };
        let figures = [("a".to_owned(), through(5)), ("b".to_owned(), through(5))].into();
        filter.select(ConversationPage { conversations: looked_at, next }, &figures, ConversationOrder::NewestFirst, 2)
    }

    #[test]
    fn a_summary_is_stale_when_more_messages_follow_and_none_covers_nothing() {
        let looked_at = vec![held("a", 10), held("b", 11), held("c", 5), held("d", 6)];
        let filter = ConversationFilter { stale_by: StaleBy::parse(5).ok(), ..Default::default() };
        assert_eq!(names(&select(&filter, looked_at, None)), ["b", "d"]);
        assert!(StaleBy::parse(-1).is_err());
    }

    #[test]
    fn a_page_goes_on_after_its_last_conversation_or_after_the_last_one_that_was_looked_at() {
        let filter = ConversationFilter { stale_by: StaleBy::parse(0).ok(), ..Default::default() };
        let full = select(&filter, vec![held("c", 9), held("d", 9), held("e", 0), held("f", 9)], None);
        let next = full.next.as_ref().map(|next| next.conversation_id.to_string());
        assert_eq!((names(&full), next), (vec!["c", "d"], Some("d".to_owned())));
        let cursor = held("f", 9).cursor(ConversationOrder::NewestFirst);
        let last = select(&filter, vec![held("c", 9), held("e", 0), held("f", 9)], Some(cursor.clone()));
        assert_eq!((names(&last), &last.next), (vec!["c", "f"], &Some(cursor)));
    }

    #[test]
    fn conversations_are_chosen_by_their_holder_reason_and_mood() {
        let looked_at = || vec![held("a", 1), with("b", None), with("c", Some("mina")), with("d", Some("kenji"))];
        let by = |holder| ConversationFilter { holder: Some(holder), ..Default::default() };
        for (filter, expected) in [
            (by(HolderFilter::Assistant), vec!["a"]),
            (by(HolderFilter::Queue), vec!["b"]),
            (by(HolderFilter::Person(None)), vec!["c", "d"]),
            (by(HolderFilter::Person(Some(person("kenji")))), vec!["d"]),
            (ConversationFilter { reason: Some(EscalationReason::LowEmotion), ..Default::default() }, vec!["b", "c"]),
            (ConversationFilter { reason: Some(EscalationReason::Other), ..Default::default() }, vec![]),
            (ConversationFilter { level: Some(EmotionLevel::Negative), ..Default::default() }, vec!["a", "b"]),
            (ConversationFilter { level: Some(EmotionLevel::Positive), ..Default::default() }, vec![]),
        ] {
            assert_eq!(names(&select(&filter, looked_at(), None)), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_holder_and_a_reason_bound_the_states() {
        let filter = |status, holder, reason| ConversationFilter { status, holder, reason, ..Default::default() };
        let reason = Some(EscalationReason::Other);
        for (filter, expected) in [
            (filter(None, None, None), vec!["OPEN", "ESCALATED", "CLOSED"]),
            (filter(None, Some(HolderFilter::Assistant), None), vec!["OPEN", "CLOSED"]),
            (filter(None, Some(HolderFilter::Queue), None), vec!["ESCALATED"]),
            (filter(None, None, reason), vec!["ESCALATED"]),
            (filter(Some(ConversationStatus::Open), Some(HolderFilter::Queue), None), vec![]),
            (filter(None, Some(HolderFilter::Assistant), reason), vec![]),
        ] {
            assert_eq!(filter.statuses(), expected, "{filter:?}");
        }
    }
}
