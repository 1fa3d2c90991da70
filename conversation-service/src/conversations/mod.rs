//! Reads and deletes conversations. The first message creates a conversation; see `messages`.

mod conversation;
mod delete;
mod filter;
mod get;
mod list;

use teppan_shared::{clock::Clock, postgres::Database};

pub use self::{
    conversation::{Conversation, ConversationStatus},
    filter::{ConversationFilter, ConversationOrder, HolderFilter, StaleBy},
    list::{ConversationCursor, ConversationPage},
};
use crate::events::Events;

/// Reads and deletes conversations.
pub struct Conversations {
    database: Database,
    clock: Clock,
    events: Events,
}

impl Conversations {
    pub fn new(database: Database, clock: Clock, events: Events) -> Self {
        Self { database, clock, events }
    }
}
