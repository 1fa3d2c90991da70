//! Deletes conversations after their retention time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use teppan_shared::{
    error_chain::error_chain,
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use super::{Conversations, delete::Deleted};
use crate::domain::ConversationId;

/// Who deletes, in the event.
const BY: &str = "retention";

/// The worker. A run looks at a thousand conversations, the next one at those after them. Any number of replicas may
/// run it at once: a conversation is deleted once.
pub struct ConversationRetention {
    conversations: Arc<Conversations>,
    /// Since the last change.
    keep: Duration,
    /// The conversation after which the next run begins. A restarted process begins with the first.
    after: Mutex<String>,
}

impl ConversationRetention {
    pub fn new(conversations: Arc<Conversations>, keep: Duration) -> Self {
        Self { conversations, keep, after: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job for ConversationRetention {
    type Error = DatabaseError;
    const NAME: &'static str = "conversation-retention";
    const WAITS_AT_START: bool = true;

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let Conversations { database, clock, .. } = &*self.conversations;
        let before = clock.now() - self.keep;
        let after = self.lock().clone();
        let idle = || sqlx::query_file!("src/conversations/idle.sql", after, before);
        let found = database.fetch_one(idle).await?;
        // One that cannot be deleted does not keep the others: the next pass tries again.
        *self.lock() = found.last.unwrap_or_default();
        let mut batch = Batch::default();
        for id in found.idle {
            match self.conversations.delete_if(&id, BY, Some(before)).await {
                Ok(deleted) => batch.done += u64::from(deleted != Deleted::default()),
                Err(error) => {
                    batch.failed += 1;
                    tracing::warn!(
                        error = error_chain(&error),
                        "a conversation is not deleted after its retention time"
                    );
                }
            }
        }
        Ok(batch)
    }
}
