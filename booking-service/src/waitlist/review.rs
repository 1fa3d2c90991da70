use teppan_shared::postgres::DatabaseError;

use crate::waitlist::Waitlist;

impl Waitlist {
    /// Goes through those who wait at a venue whose policy has changed, a bounded number of them: notes the
    /// slots that may have seats for them now, and shortens their time where it has become shorter. Tells how
    /// many were gone through.
    ///
    /// # Errors
    /// When the database gives no answer, as [`DatabaseError`] says. What was left undone is found again.
    pub async fn review_waitlist(&self) -> Result<i64, DatabaseError> {
        let review = || sqlx::query_file!("src/waitlist/review.sql");
        Ok(self.database.fetch_one(review).await?.reviewed)
    }
}
