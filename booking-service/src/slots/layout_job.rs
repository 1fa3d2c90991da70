use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    worker::{Batch, Job},
};

use crate::core::Core;

/// Lays out the slots of every venue up to its horizon, as days pass.
pub struct SlotLayout(pub Arc<Core>);

impl Job for SlotLayout {
    type Error = DatabaseError;
    const NAME: &'static str = "slot-layout";

    async fn run_once(&self) -> Result<Batch, DatabaseError> {
        self.0.lay_out_due_slots().await
    }
}
