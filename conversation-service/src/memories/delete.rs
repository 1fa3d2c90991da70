use teppan_shared::postgres::DatabaseError;

use super::{Memories, MemoryKey, memory::owned_key};
use crate::domain::{ConversationId, UserId};

/// The most conversations that one call deletes.
const CONVERSATIONS_MAX: usize = 50;

/// What a call deleted of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserErasure {
    pub memories: i64,
    pub conversations: i64,
    pub messages: i64,
    pub follow_ups: i64,
    /// Whether something is left for another call.
    pub remaining: bool,
}

impl Memories {
    /// Deletes a memory. Returns whether it was there.
    ///
    /// # Errors
    /// When the database does not answer. The memory may have been deleted; repeat the call.
    pub async fn delete(&self, user_id: &UserId, key: &MemoryKey) -> Result<bool, DatabaseError> {
        let Some(owner) = self.find_owner(user_id).await? else { return Ok(false) };
        let keys = self.key_hash.hash([owned_key(&owner.memory_user_id, key).as_bytes()]).all();
        let delete = || sqlx::query_file!("src/memories/delete_one.sql", owner.memory_user_id, &keys);
        Ok(self.database.fetch_one(delete).await?.deleted)
    }

    /// Deletes what there is about a user: memories, follow-ups, and a bounded number of conversations, each with all that
    /// belongs to it in a transaction of its own. `by` is the name of the caller's credential.
    ///
    /// # Errors
    /// When the database does not answer. What is deleted stays deleted; a repeated call does the rest.
    pub async fn delete_user(&self, user_id: &UserId, by: &str) -> Result<UserErasure, DatabaseError> {
        let users = self.users.hashes(user_id);
        let mut erased = UserErasure::default();
        let limit = i64::try_from(CONVERSATIONS_MAX).unwrap_or(i64::MAX) + 1;
        let find = || sqlx::query_file!("src/memories/conversations_of.sql", &users, limit);
        let found: Vec<ConversationId> =
            self.database.fetch_all(find).await?.into_iter().map(|row| row.conversation_id).collect();
        for conversation_id in found.iter().take(CONVERSATIONS_MAX) {
            let deleted = self.conversations.delete(conversation_id, by).await?;
            erased.conversations += i64::from(deleted.messages > 0);
            erased.messages += deleted.messages;
            erased.follow_ups += deleted.follow_ups;
        }
        // Afterwards: what is left of them is of other people's conversations, or of none.
        let delete = || sqlx::query_file!("src/memories/delete_user.sql", &users);
        let rest = match self.database.fetch_one(delete).await {
            // A memory was set at the same moment. The next call deletes it.
            Err(error) if error.violates("user_memories_user_fkey") => {
                return Ok(UserErasure { remaining: true, ..erased });
            }
            rest => rest?,
        };
        erased.memories = rest.memories;
        erased.follow_ups += rest.follow_ups;
        erased.remaining = rest.more || found.len() > CONVERSATIONS_MAX;
        Ok(erased)
    }
}
