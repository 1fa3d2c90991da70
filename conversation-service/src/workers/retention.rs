use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Removes what has been kept for long enough.
pub struct Retention(pub Arc<Core>);

impl Job for Retention {
    type Error = DatabaseError;
    const NAME: &'static str = "retention";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.purge().await
    }
}
