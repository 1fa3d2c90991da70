//! Appends messages to conversations, and lists them.

mod list;
mod message;
mod row;
mod store;
mod tokens;

use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

pub use self::{
    list::{ListMessagesError, MessagePage},
    message::{Message, NewMessage},
    row::{MessageRow, content_associated_data},
    store::{STATEMENT, StoreMessageError},
    tokens::TokenCount,
};
use crate::emotions::Emotions;

/// Stores and lists messages.
pub struct Messages {
    database: Database,
    clock: Clock,
    ring: KeyRing,
    /// Compares calls with the same message id.
    fingerprint: KeyedHash,
    emotions: Arc<Emotions>,
    /// The time from a user's first conversation to the first check for re-engagement.
    reengagement_after: TimeDelta,
}

impl Messages {
    pub fn new(
        database: Database,
        clock: Clock,
        keys: &Keys,
        emotions: Arc<Emotions>,
        reengagement_after: TimeDelta,
    ) -> Self {
        let fingerprint = keys.hash("teppan conversation messages.fingerprint");
        Self { database, clock, ring: keys.ring(), fingerprint, emotions, reengagement_after }
    }
}
