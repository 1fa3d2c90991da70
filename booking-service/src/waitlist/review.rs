use teppan_shared::postgres::DatabaseError;

use crate::waitlist::Waitlist;

impl Waitlist {
    /// Reviews a bounded number of waiting entries of a venue whose policy has changed: notes the slots that may have
    /// seats for them now, and sets an earlier end where the new policy requires it. Returns how many were reviewed.
    ///
    /// # Errors
    /// [`DatabaseError`]. The next run reviews the entries that remain.
    pub async fn review_waitlist(&self) -> Result<i64, DatabaseError> {
        let review = || sqlx::query_file!("src/waitlist/review.sql");
        Ok(self.database.fetch_one(review).await?.reviewed)
    }
}
