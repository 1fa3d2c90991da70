//! Removes what is no longer needed: ended waitlist entries, and customers who have neither bookings nor entries.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};
use uuid::Uuid;

use crate::{customers::Customers, domain::CustomerId};

/// How long personal data is kept that no booking needs. `None`: always.
#[derive(Debug, Clone, Copy, Default)]
pub struct CustomerRetentionSettings {
    /// Waitlist entries that ended without an offer.
    pub entries: Option<Duration>,
    /// Customers without bookings and waitlist entries, since their last change.
    pub customers: Option<Duration>,
}

/// Keys are removed by another worker, perhaps a little late.
const KEY_MARGIN: Duration = Duration::from_hours(24);

/// The worker. A run looks at a thousand customers, the next one at those after them.
pub struct CustomerRetention {
    customers: Arc<Customers>,
    keep: CustomerRetentionSettings,
    /// The customer after which the next run begins. A restarted process begins with the first.
    after: Mutex<Uuid>,
}

impl CustomerRetention {
    /// An entry stays longer than the idempotency key of its call: a repeated call answers with the entry.
    pub fn new(customers: Arc<Customers>, keep: CustomerRetentionSettings, idempotency_keep: Duration) -> Self {
        let entries = keep.entries.map(|keep| keep.max(idempotency_keep + KEY_MARGIN));
        Self { customers, keep: CustomerRetentionSettings { entries, ..keep }, after: Mutex::new(Uuid::nil()) }
    }

    async fn purge_entries(&self, keep: Duration, batch: &mut Batch) -> Result<(), DatabaseError> {
        let before = self.customers.clock.now() - keep;
        let purge = || sqlx::query_file!("src/customers/purge_entries.sql", before);
        let run = self.customers.database.fetch_one(purge).await?;
        batch.done += u64::try_from(run.removed).unwrap_or(0);
        batch.more |= run.more;
        batch.lag = batch.lag.max(Duration::try_from_secs_f64(run.overdue_seconds).unwrap_or(Duration::ZERO));
        Ok(())
    }

    async fn erase_unused(&self, keep: Duration, batch: &mut Batch) -> Result<(), DatabaseError> {
        let (after, before) = (*self.lock(), self.customers.clock.now() - keep);
        let unused = || sqlx::query_file!("src/customers/unused.sql", after, before);
        let found = self.customers.database.fetch_one(unused).await?;
        for id in found.unused {
            batch.done += u64::from(self.customers.erase_unused(CustomerId(id), before).await?);
        }
        *self.lock() = found.last.unwrap_or_default();
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Uuid> {
        self.after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job for CustomerRetention {
    type Error = DatabaseError;
    const NAME: &'static str = "customer-retention";
    const WAITS_AT_START: bool = true;

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        let mut batch = Batch::default();
        if let Some(keep) = self.keep.entries {
            self.purge_entries(keep, &mut batch).await?;
        }
        if let Some(keep) = self.keep.customers {
            self.erase_unused(keep, &mut batch).await?;
        }
        Ok(batch)
    }
}
