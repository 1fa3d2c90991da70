//! Summaries: what was said in a conversation up to a message, in fewer words.

mod set;
mod summary;

use teppan_shared::{clock::Clock, keys::Keys, postgres::Database, read_error::Corrupted, sealing::KeyRing};

pub use self::{
    set::{NewSummary, SetSummaryError},
    summary::{Summary, SummaryRow, WrittenBy},
};
use crate::domain::ConversationId;

/// Sets and opens summaries.
pub struct Summaries {
    database: Database,
    clock: Clock,
    ring: KeyRing,
}

impl Summaries {
    pub fn new(database: Database, clock: Clock, keys: &Keys) -> Self {
        Self { database, clock, ring: keys.ring() }
    }

    /// The summary of a conversation, from its row.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(&self, conversation_id: &ConversationId, row: SummaryRow) -> Result<Summary, Corrupted> {
        row.open(conversation_id, &self.ring)
    }
}
