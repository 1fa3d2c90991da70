use teppan_shared::postgres::DatabaseError;

use super::{CustomerId, FollowUps};

/// What a call deleted of a customer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CustomerDeleted {
    pub consents: i64,
    pub follow_ups: i64,
    /// Whether something is left for another call.
    pub remaining: bool,
}

impl FollowUps {
    /// Deletes a bounded number of a customer's follow-ups, and after the last one the consents.
    ///
    /// # Errors
    /// When the database does not answer. A repeated call does the rest.
    pub async fn delete_customer(&self, id: CustomerId) -> Result<CustomerDeleted, DatabaseError> {
        let delete = || sqlx::query_file_as!(CustomerDeleted, "src/follow_ups/delete_customer.sql", id.0);
        self.database.fetch_one(delete).await
    }
}
