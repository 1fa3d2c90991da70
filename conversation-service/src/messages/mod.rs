//! Appends messages to conversations, lists, streams and redacts them.

mod binding;
mod draft;
mod followed;
mod list;
mod message;
mod read;
mod redact;
mod request;
mod row;
mod store;
mod store_gathered;
mod store_many;
mod stream;
mod tokens;

use std::sync::Arc;

use chrono::TimeDelta;
use teppan_shared::{
    clock::Clock,
    gather::{GatherLimits, Gatherer, Queue},
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
    worker::Nudge,
};

#[cfg(test)]
pub use self::message::Redaction;
pub use self::{
    binding::{BoundRow, Companions, MessageBinding},
    followed::{FollowedMessages, POLL_INTERVAL},
    list::{ListMessagesError, MessagePage},
    message::{Message, NewMessage},
    request::RequestRules,
    row::{MessageRow, open_emotion},
    store::{STATEMENT, StoreMessageError, Stored},
    store_gathered::STATEMENT_FOR_MANY,
    store_many::{StoreMessagesError, ToolCallRefusal},
    stream::{Step, StreamMessagesError},
    tokens::TokenCount,
};
use self::{followed::Followed, store_gathered::PlainMessages};
use crate::{emotions::Emotions, events::Events, search::Words, users::Users};

/// Stores, lists, streams and redacts messages.
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
    followed: Followed,
    /// Gathers the calls of StoreMessage with plain text.
    gatherer: Gatherer<PlainMessages>,
    /// Of stored messages, if they are kept for SearchMessages.
    words: Option<Words>,
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
        let plain = PlainMessages { database: database.clone(), reengagement_after };
        let fingerprint = keys.hash("teppan conversation messages.fingerprint");
        Self {
            database,
            clock,
            ring: keys.ring(),
            fingerprint,
            users,
            emotions,
            events,
            reengagement_after,
            followed: Followed::default(),
            gatherer: Gatherer::new(plain, GatherLimits::OFF),
            words: None,
        }
    }

    /// With the calls of StoreMessage gathered within these limits.
    pub fn gathering(self, limits: GatherLimits) -> Self {
        let plain = PlainMessages { database: self.database.clone(), reengagement_after: self.reengagement_after };
        Self { gatherer: Gatherer::new(plain, limits), ..self }
    }

    /// What calls of StoreMessage wait for.
    pub fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.gatherer.clone())
    }

    /// With the words of messages kept for SearchMessages, unless there is nothing to keep them with.
    pub fn keeping(self, words: Option<Words>) -> Self {
        Self { words, ..self }
    }

    /// The job that looks for messages to stream, and what wakes it.
    pub fn followed(&self) -> (FollowedMessages, Nudge) {
        let job = FollowedMessages { followed: self.followed.clone(), database: self.database.clone() };
        (job, self.followed.nudge())
    }
}
