use teppan_shared::postgres::DatabaseError;

use crate::core::Core;

impl Core {
    /// Counts the events of Stripe's that are set aside, by index, and tells the metrics.
    ///
    /// # Errors
    /// When the database gives no answer; then the metrics stay as they are.
    pub async fn count_set_aside_stripe_events(&self) -> Result<(), DatabaseError> {
        let count = || sqlx::query_file!("queries/count_set_aside_stripe_events.sql");
        let found = self.database.fetch_one(count).await?;
        let age = found.oldest_at.and_then(|oldest| (self.clock.now() - oldest).to_std().ok());
        self.stripe_metrics.set_aside(u64::try_from(found.count).unwrap_or(0), age.unwrap_or_default());
        Ok(())
    }
}
