use chrono::{DateTime, Utc};
use teppan_shared::postgres::DatabaseError;
use uuid::Uuid;

use crate::{
    customers::Customers,
    domain::{ConsentChannel, ConsentPurpose, CustomerId},
};

/// A row of `customer_consent_changes`.
pub struct ConsentChange {
    pub customer_id: Uuid,
    /// The version of the customer after the change.
    pub version: i64,
    pub purpose: ConsentPurpose,
    pub channel: ConsentChannel,
    pub granted: bool,
    pub source: String,
    pub changed_at: DateTime<Utc>,
    pub changed_by: String,
}

impl Customers {
    /// At most this many changes of the consents of a customer, and of those merged into it, by customer and version,
    /// after this change.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(super) async fn consent_changes(
        &self,
        id: CustomerId,
        (customer_id, version): (Uuid, i64),
        limit: i64,
    ) -> Result<Vec<ConsentChange>, DatabaseError> {
        let read = || {
            sqlx::query_file_as!(ConsentChange, "src/customers/consent_history.sql", id.0, customer_id, version, limit)
        };
        self.database.fetch_all(read).await
    }
}
