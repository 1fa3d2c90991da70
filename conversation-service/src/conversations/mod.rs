//! Reads and deletes conversations. The first message creates a conversation; see `messages`.

mod conversation;
mod delete;
mod filter;
mod get;
mod list;
mod retention;

use std::sync::Arc;

use teppan_shared::{clock::Clock, keys::Keys, postgres::Database, sealing::KeyRing};

pub use self::{
    conversation::{Conversation, ConversationRow, ConversationStatus},
    filter::{ConversationFilter, ConversationOrder, HolderFilter, StaleBy},
    list::{ConversationCursor, ConversationPage, ListConversationsError},
    retention::ConversationRetention,
};
use crate::{events::Events, users::Users};

/// Reads and deletes conversations.
pub struct Conversations {
    database: Database,
    clock: Clock,
    ring: KeyRing,
    users: Arc<Users>,
    events: Events,
}

impl Conversations {
    pub fn new(database: Database, clock: Clock, keys: &Keys, users: Arc<Users>, events: Events) -> Self {
        Self { database, clock, ring: keys.ring(), users, events }
    }
}
