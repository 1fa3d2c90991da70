use std::sync::Arc;

use teppan_shared::{
    read_error::ReadError,
    worker::{Batch, Job},
};

use crate::{core::Core, offer_seats::OfferOutcome};

/// Statements of one run.
const STEPS_MAX: usize = 64;

/// Offers seats that came free to those who wait for them.
pub struct WaitlistOffers(pub Arc<Core>);

impl Job for WaitlistOffers {
    type Error = ReadError;
    const NAME: &'static str = "waitlist-offers";

    async fn run_once(&self) -> Result<Batch, ReadError> {
        let mut batch = Batch::default();
        for _ in 0..STEPS_MAX {
            let step = self.0.offer_seats().await?;
            let lag = step.noted_at.and_then(|noted| (self.0.clock.now() - noted).to_std().ok());
            batch.lag = batch.lag.max(lag.unwrap_or_default());
            match step.outcome {
                OfferOutcome::Offered => batch.done += 1,
                OfferOutcome::Settled | OfferOutcome::Contended => {}
                OfferOutcome::Idle => return Ok(batch),
            }
        }
        Ok(Batch { more: true, ..batch })
    }
}
