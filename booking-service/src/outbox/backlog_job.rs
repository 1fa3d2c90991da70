use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::{core::Core, outbox::backlog::Backlog};

/// Shows in the metrics what waits in the database.
pub struct BacklogReading {
    core: Arc<Core>,
    backlog: Backlog,
}

impl BacklogReading {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core, backlog: Backlog::default() }
    }
}

impl Job for BacklogReading {
    type Error = DatabaseError;
    const NAME: &'static str = "backlog";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.core.read_backlog(&self.backlog).await?;
        Ok(Batch::default())
    }
}
