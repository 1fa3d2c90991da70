//! What a call changes about a conversation and its holder. Pure.

use chrono::{DateTime, Utc};

use super::{Assignee, EscalationReason, Handoff, HeldConversation, Holder};
use crate::conversations::ConversationStatus;

/// What a caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Close,
    Escalate { reason: EscalationReason, assignee: Option<Assignee> },
    Assign(Holder),
}

/// The state after a change.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub status: ConversationStatus,
    /// Set exactly when it is escalated.
    pub handoff: Option<Handoff>,
    pub change: Change,
}

/// What happened, for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Closed,
    /// It was handed over to the queue or to a person.
    Escalated,
    /// It was escalated, and has another holder.
    Assigned,
}

/// The state that the action leads to; `None` when it is reached already.
pub fn decide(present: &HeldConversation, action: Action, now: DateTime<Utc>) -> Option<Target> {
    let is_escalated = present.conversation.status == ConversationStatus::Escalated;
    match action {
        Action::Close => (present.conversation.status != ConversationStatus::Closed).then_some(Target {
            status: ConversationStatus::Closed,
            handoff: None,
            change: Change::Closed,
        }),
        // The first reason stays, and so does the person who has it.
        Action::Escalate { .. } if is_escalated => None,
        Action::Escalate { reason, assignee } => Some(Target {
            status: ConversationStatus::Escalated,
            handoff: Some(Handoff { escalated_at: now, reason, assignee, held_since: now }),
            change: Change::Escalated,
        }),
        Action::Assign(holder) if holder == present.holder() => None,
        Action::Assign(Holder::Assistant) => {
            Some(Target { status: ConversationStatus::Open, handoff: None, change: Change::Assigned })
        }
        Action::Assign(Holder::Queue) => Some(assign(present, None, now)),
        Action::Assign(Holder::Person(assignee)) => Some(assign(present, Some(assignee), now)),
    }
}

fn assign(present: &HeldConversation, assignee: Option<Assignee>, now: DateTime<Utc>) -> Target {
    let (escalated_at, reason, change) = match &present.handoff {
        Some(handoff) => (handoff.escalated_at, handoff.reason, Change::Assigned),
        // A person takes it over without being asked.
        None => (now, EscalationReason::Other, Change::Escalated),
    };
    // Not before the escalation, whose time is of another replica's clock.
    let held_since = now.max(escalated_at);
    let handoff = Handoff { escalated_at, reason, assignee, held_since };
    Target { status: ConversationStatus::Escalated, handoff: Some(handoff), change }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{
        conversations::Conversation,
        domain::{Channel, ConversationId},
    };

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn person(name: &str) -> Assignee {
        Assignee::parse(name.to_owned()).expect("a name")
    }

    fn held(status: ConversationStatus, handoff: Option<Handoff>) -> HeldConversation {
        let time = DateTime::UNIX_EPOCH;
        let conversation = Conversation {
            conversation_id: ConversationId::parse("web-7f3a91".to_owned()).expect("an id"),
            user_id: None,
            channel: Channel::Web,
            status,
            message_count: 1,
            newest_scored_sequence: 0,
            last_message_at: time,
            created_at: time,
            updated_at: time,
            closed_at: (status == ConversationStatus::Closed).then_some(time),
        };
        HeldConversation { conversation, version: handoff.is_some().into(), handoff }
    }

    fn escalated(assignee: Option<&str>) -> HeldConversation {
        let since = now() - TimeDelta::hours(1);
        let handoff = Handoff {
            escalated_at: since,
            reason: EscalationReason::LowEmotion,
            assignee: assignee.map(person),
            held_since: since,
        };
        held(ConversationStatus::Escalated, Some(handoff))
    }

    fn escalate(assignee: Option<&str>) -> Action {
        Action::Escalate { reason: EscalationReason::CustomerRequest, assignee: assignee.map(person) }
    }

    #[test]
    fn a_state_that_is_reached_is_not_reached_again() {
        use ConversationStatus::{Closed, Open};
        for (present, action) in [
            (held(Closed, None), Action::Close),
            (escalated(None), escalate(Some("mina"))),
            (escalated(Some("kenji")), escalate(Some("mina"))),
            (escalated(None), Action::Assign(Holder::Queue)),
            (escalated(Some("mina")), Action::Assign(Holder::Person(person("mina")))),
            (held(Open, None), Action::Assign(Holder::Assistant)),
            // The assistant holds it, and handing it back does not open it.
            (held(Closed, None), Action::Assign(Holder::Assistant)),
        ] {
            assert_eq!(decide(&present, action.clone(), now()), None, "{present:?} {action:?}");
        }
    }

    #[test]
    fn closing_and_handing_back_end_a_handoff() {
        for present in [escalated(None), escalated(Some("mina"))] {
            let closed = decide(&present, Action::Close, now()).expect("a change");
            assert_eq!(
                (closed.status, closed.handoff, closed.change),
                (ConversationStatus::Closed, None, Change::Closed)
            );
            let back = decide(&present, Action::Assign(Holder::Assistant), now()).expect("a change");
            assert_eq!((back.status, back.handoff, back.change), (ConversationStatus::Open, None, Change::Assigned));
        }
    }

    #[test]
    fn another_holder_keeps_the_reason_and_begins_to_hold_it_now() {
        for holder in [Holder::Queue, Holder::Person(person("kenji"))] {
            let target = decide(&escalated(Some("mina")), Action::Assign(holder), now()).expect("a change");
            let handoff = target.handoff.expect("it is escalated");
            assert_eq!((handoff.reason, handoff.held_since), (EscalationReason::LowEmotion, now()));
            assert_eq!((handoff.escalated_at, target.change), (now() - TimeDelta::hours(1), Change::Assigned));
        }
    }

    #[test]
    fn an_open_or_closed_conversation_is_escalated_also_by_a_person_who_takes_it() {
        for status in [ConversationStatus::Open, ConversationStatus::Closed] {
            let asked = decide(&held(status, None), escalate(None), now()).expect("a change");
            assert_eq!(asked.handoff.expect("it").reason, EscalationReason::CustomerRequest);
            let taken = Action::Assign(Holder::Person(person("mina")));
            let taken = decide(&held(status, None), taken, now()).expect("a change");
            let handoff = taken.handoff.expect("it is escalated");
            assert_eq!((handoff.reason, handoff.assignee), (EscalationReason::Other, Some(person("mina"))));
            assert_eq!((asked.change, taken.change), (Change::Escalated, Change::Escalated));
        }
    }
}
