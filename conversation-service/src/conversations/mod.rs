//! Reads conversations. The first message creates a conversation; see `messages`.

mod conversation;
mod get;
mod list;
mod stale;

use teppan_shared::postgres::Database;

pub use self::{
    conversation::{Conversation, ConversationStatus},
    list::{ConversationCursor, ConversationFilter, ConversationPage},
    stale::StaleBy,
};

/// Reads conversations.
pub struct Conversations {
    database: Database,
}

impl Conversations {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}
