//! The conversations that streams of this process follow.
//!
//! One statement for all of them looks for new messages, every now and then and whenever this process stores one. So a
//! message costs its StoreMessage nothing but a look at a map, and what other replicas store is found all the same.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::{Database, DatabaseError},
    worker::{Batch, Job, Nudge},
};
use tokio::sync::watch;

use crate::domain::ConversationId;

/// How often other replicas' messages are looked for.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What was last seen of a followed conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nobody looked yet.
    #[default]
    Unknown,
    /// It is not there.
    Gone,
    There {
        created_at: DateTime<Utc>,
        message_count: i64,
    },
}

/// The followed conversations. Clones share them.
#[derive(Clone, Default)]
pub struct Followed {
    conversations: Arc<Mutex<HashMap<ConversationId, Entry>>>,
    /// Of the map, to be read without its lock.
    count: Arc<AtomicUsize>,
    stored: Nudge,
}

struct Entry {
    followers: usize,
    seen: watch::Sender<Seen>,
}

/// Follows a conversation until it is dropped.
pub struct Follower {
    followed: Followed,
    conversation_id: ConversationId,
    /// Changes when the conversation does.
    pub seen: watch::Receiver<Seen>,
}

impl Followed {
    pub fn follow(&self, conversation_id: &ConversationId) -> Follower {
        let mut conversations = self.lock();
        let entry = conversations
            .entry(conversation_id.clone())
            .or_insert_with(|| Entry { followers: 0, seen: watch::Sender::default() });
        entry.followers += 1;
        let seen = entry.seen.subscribe();
        self.count.store(conversations.len(), Relaxed);
        drop(conversations);
        Follower { followed: self.clone(), conversation_id: conversation_id.clone(), seen }
    }

    /// Looks for new messages soon, because this process has stored some in this conversation.
    pub fn stored(&self, conversation_id: &ConversationId) {
        if self.count.load(Relaxed) > 0 && self.lock().contains_key(conversation_id) {
            self.stored.nudge();
        }
    }

    /// Wakes the job that looks for new messages.
    pub fn nudge(&self) -> Nudge {
        self.stored.clone()
    }

    /// Looks at every followed conversation, in one statement. Returns how many have changed.
    async fn look(&self, database: &Database) -> Result<u64, DatabaseError> {
        let ids: Vec<ConversationId> = self.lock().keys().cloned().collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let texts: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let look = || sqlx::query_file!("src/messages/followed.sql", &texts);
        let rows = database.fetch_all(look).await?;
        let found: HashMap<_, _> = rows
            .into_iter()
            .map(|row| {
                let seen = Seen::There { created_at: row.created_at, message_count: row.message_count };
                (row.conversation_id, seen)
            })
            .collect();
        let conversations = self.lock();
        let mut changed = 0;
        // Others may follow by now, and were not looked at.
        for id in ids {
            let Some(entry) = conversations.get(&id) else { continue };
            let now = found.get(id.as_str()).copied().unwrap_or(Seen::Gone);
            changed += u64::from(entry.seen.send_if_modified(|before| std::mem::replace(before, now) != now));
        }
        Ok(changed)
    }

    /// Nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Entry>> {
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut conversations = self.followed.lock();
        if let Some(entry) = conversations.get_mut(&self.conversation_id) {
            entry.followers -= 1;
            if entry.followers == 0 {
                conversations.remove(&self.conversation_id);
            }
        }
        self.followed.count.store(conversations.len(), Relaxed);
    }
}

/// The job that looks for new messages of followed conversations.
pub struct FollowedMessages {
    pub followed: Followed,
    pub database: Database,
}

impl Job for FollowedMessages {
    type Error = DatabaseError;
    const NAME: &'static str = "followed-messages";
    // One look sees several messages.
    const GATHER: Duration = Duration::from_millis(10);

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        Ok(Batch { done: self.followed.look(&self.database).await?, ..Batch::default() })
    }
}
