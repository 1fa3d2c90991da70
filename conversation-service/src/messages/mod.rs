//! Appends messages to conversations, lists and redacts them.

mod binding;
mod draft;
mod list;
mod message;
mod read;
mod redact;
mod request;
mod row;
mod store;
mod store_many;
mod tokens;

use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
};

#[cfg(test)]
pub use self::message::Redaction;
pub use self::{
    binding::{BoundRow, Companions, MessageBinding},
    list::{ListMessagesError, MessagePage},
    message::{Message, NewMessage},
    request::RequestRules,
    row::{MessageRow, open_emotion},
    store::{STATEMENT, StoreMessageError, Stored},
    store_many::{StoreMessagesError, ToolCallRefusal},
    tokens::TokenCount,
};
use crate::{emotions::Emotions, events::Events, users::Users};

/// Stores, lists and redacts messages.
pub struct Messages {
    database: Database,
    clock: Clock,
    ring: KeyRing,
    /// Compares calls with the same message id.
    fingerprint: KeyedHash,
    users: Arc<Users>,
    emotions: Arc<Emotions>,
    events: Events,
    /// The time from a user's first conversation to the first check for re-engagement.
    reengagement_after: TimeDelta,
}

impl Messages {
    pub fn new(
        database: Database,
        clock: Clock,
        keys: &Keys,
        users: Arc<Users>,
        emotions: Arc<Emotions>,
        events: Events,
        reengagement_after: TimeDelta,
    ) -> Self {
        let fingerprint = keys.hash("teppan conversation messages.fingerprint");
        Self { database, clock, ring: keys.ring(), fingerprint, users, emotions, events, reengagement_after }
    }
}
