//! Who holds a conversation: the assistant, or a person to whom it was handed over.

mod change;
mod decide;
mod handoff;

use std::sync::Arc;

use teppan_shared::{clock::Clock, postgres::Database};

pub use self::{
    change::ChangeHolderError,
    decide::Action,
    handoff::{Assignee, EscalationReason, Handoff, HandoffRow, HeldConversation, Holder},
};
use crate::{events::Events, follow_ups::FollowUps, users::Users};

/// Closes conversations, hands them over and back.
pub struct Handoffs {
    database: Database,
    clock: Clock,
    users: Arc<Users>,
    events: Events,
    follow_ups: Arc<FollowUps>,
}

impl Handoffs {
    pub fn new(
        database: Database,
        clock: Clock,
        users: Arc<Users>,
        events: Events,
        follow_ups: Arc<FollowUps>,
    ) -> Self {
        Self { database, clock, users, events, follow_ups }
    }
}
