use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};

use super::{Memories, Memory, MemoryId, memory::MemoryRow, owner::OwnerRow};
use crate::domain::UserId;

/// Memories, and the last of the page if there is another page.
pub struct MemoryPage {
    pub memories: Vec<Memory>,
    pub next: Option<MemoryId>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListMemoriesError {
    /// The list continues after this memory.
    #[error("the first memory of the page is corrupted")]
    Unreadable { memory_id: MemoryId, source: Corrupted },
    #[error("the user's row is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl Memories {
    /// Lists the memories of a user that are not expired, in the order in which they were last set. A page ends before a memory
    /// that cannot be opened.
    ///
    /// # Errors
    /// [`ListMemoriesError`].
    pub async fn list(
        &self,
        user_id: &UserId,
        after: Option<MemoryId>,
        page_size: u16,
    ) -> Result<MemoryPage, ListMemoriesError> {
        let users = self.users.hashes(user_id);
        let (after, now, limit) = (after.map(|id| id.0), self.clock.now(), i64::from(page_size) + 1);
        let read = || sqlx::query_file!("src/memories/list.sql", &users, after, now, limit);
        let rows = self.database.fetch_all(read).await?;
        if let Some(first) = rows.first() {
            let owner = OwnerRow { memory_user_id: first.memory_user_id, user_sealed: first.user_sealed.clone() };
            self.check_owner(&owner, user_id)?;
        }
        let mut is_cut = rows.len() > page_size.into();
        let (mut memories, mut last) = (Vec::with_capacity(rows.len()), None);
        for row in rows.into_iter().map(|row| row.memory).take(page_size.into()) {
            let memory_id = row.memory_id;
            match row.open(user_id, &self.ring) {
                Ok(memory) => memories.push(memory),
                Err(source) if memories.is_empty() => return Err(ListMemoriesError::Unreadable { memory_id, source }),
                Err(_) => {
                    is_cut = true;
                    break;
                }
            }
            last = Some(memory_id);
        }
        Ok(MemoryPage { memories, next: last.filter(|_| is_cut) })
    }
}
