use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use super::{
    Memories, Memory, MemoryId, NewMemory,
    memory::{MemoryRow, associated_row, key_associated_data, owned_key, value_associated_data},
};
use crate::emotions::EmotionScore;

/// The most memories of a user.
pub const MEMORIES_MAX: i64 = 1000;
/// What fails when a concurrent call was faster.
const OVERTAKEN: [&str; 4] =
    ["memory_users_hash", "user_memories_key", "user_memories_user_fkey", "user_memories_source_fkey"];
/// The most runs of the statements for one call. A concurrent call that was faster needs one more run.
const ATTEMPTS_MAX: usize = 4;

/// Why a memory was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetMemoryError {
    #[error("the source does not exist, or is redacted")]
    SourceNotFound,
    #[error("the user has {MEMORIES_MAX} memories already")]
    TooMany,
    #[error("the memory was set by others in every attempt")]
    Contended,
    #[error("the memory is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Memories {
    /// Sets a memory in place of the one with its key.
    ///
    /// # Errors
    /// [`SetMemoryError`]. If the database does not answer, the memory may have been set; repeat the call.
    pub async fn set(&self, new: &NewMemory) -> Result<Memory, SetMemoryError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.set_once(new).await {
                Err(SetMemoryError::Database(error)) if OVERTAKEN.iter().any(|it| error.violates(it)) => {}
                set => return set,
            }
        }
        Err(SetMemoryError::Contended)
    }

    async fn set_once(&self, new: &NewMemory) -> Result<Memory, SetMemoryError> {
        let owner = self.owner(&new.user_id).await?;
        self.check_owner(&owner, &new.user_id)?;
        let Answer { is_known, memory } = self.write(new, &owner.memory_user_id).await?;
        match memory {
            Some(row) => Ok(row.open(&new.user_id, &self.ring)?),
            None if is_known => Err(SetMemoryError::TooMany),
            None => Err(SetMemoryError::SourceNotFound),
        }
    }

    async fn write(&self, new: &NewMemory, owner: &Uuid) -> Result<Answer, DatabaseError> {
        let (memory_id, now) = (MemoryId::generate(), self.clock.now());
        let (row, key) = (associated_row(memory_id, owner), owned_key(owner, &new.key));
        let key_hashes = self.key_hash.hash([key.as_bytes()]).all();
        let key_sealed = self.ring.seal(key_associated_data(&row), key.as_bytes());
        let value_sealed = self.ring.seal(value_associated_data(&row), new.value.as_str().as_bytes());
        let set = || {
            sqlx::query_file_as!(
                Answer,
                "src/memories/set.sql",
                owner,
                &key_hashes,
                memory_id.0,
                key_sealed,
                value_sealed,
                new.source_message_id.map(|id| id.0),
                new.confidence.map(EmotionScore::get),
                new.expires_at,
                now,
                MEMORIES_MAX,
            )
        };
        self.database.fetch_one(set).await
    }
}

/// The row of `set.sql`, which explains it.
struct Answer {
    is_known: bool,
    memory: Option<MemoryRow>,
}
