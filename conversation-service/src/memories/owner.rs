use teppan_shared::{postgres::DatabaseError, read_error::Corrupted, sealing::AssociatedData};
use uuid::Uuid;

use super::Memories;
use crate::domain::UserId;

/// The row of a user of whom something is remembered.
pub struct OwnerRow {
    pub memory_user_id: Uuid,
    pub user_sealed: Vec<u8>,
}

impl Memories {
    /// The row of a user, if there is one.
    pub(super) async fn find_owner(&self, user_id: &UserId) -> Result<Option<OwnerRow>, DatabaseError> {
        let hashes = self.users.hashes(user_id);
        let find = || sqlx::query_file_as!(OwnerRow, "src/memories/find.sql", &hashes);
        self.database.fetch_optional(find).await
    }

    /// The row of a user; it is made if there is none.
    pub(super) async fn owner(&self, user_id: &UserId) -> Result<OwnerRow, DatabaseError> {
        let (hashes, id, now) = (self.users.hashes(user_id), Uuid::now_v7(), self.clock.now());
        let sealed = self.ring.seal(associated_data(&id), user_id.as_str().as_bytes());
        let owner = || sqlx::query_file_as!(OwnerRow, "src/memories/user.sql", &hashes, id, sealed, now);
        self.database.fetch_one(owner).await
    }

    /// Checks that a row is of this user, and was not exchanged for another one.
    pub(super) fn check_owner(&self, row: &OwnerRow, user_id: &UserId) -> Result<(), Corrupted> {
        let user = self.ring.open_text(associated_data(&row.memory_user_id), &row.user_sealed)?;
        if user == user_id.as_str() { Ok(()) } else { Err(Corrupted::Column("memory_users.user_sealed")) }
    }
}

fn associated_data(memory_user_id: &Uuid) -> AssociatedData<'_> {
    AssociatedData { table: "memory_users", column: "user_sealed", row: memory_user_id.as_bytes() }
}
