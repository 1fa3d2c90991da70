use std::sync::Arc;

use teppan_shared::{
    error_chain::error_chain,
    read_error::ReadError,
    worker::{Batch, Job},
};

use crate::{
    core::Core,
    waitlist::offer::{Offer, OfferOutcome},
};

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
            let Some(step) = self.offer().await? else {
                batch.failed += 1;
                continue;
            };
            let lag = step.noted_at.and_then(|noted| (self.0.clock.now() - noted).to_std().ok());
            batch.lag = batch.lag.max(lag.unwrap_or_default());
            match step.outcome {
                OfferOutcome::Offered => batch.done += 1,
                OfferOutcome::Settled | OfferOutcome::Contended => {}
                // What it notes is offered by the next steps.
                OfferOutcome::Idle if step.review_due && self.review(&mut batch).await => {}
                OfferOutcome::Idle => return Ok(batch),
            }
        }
        Ok(Batch { more: true, ..batch })
    }
}

impl WaitlistOffers {
    /// One step; `None` when it failed. One slot that cannot be offered must not keep the others from it: it is
    /// put off. Where not even that can be done, nothing can.
    async fn offer(&self) -> Result<Option<Offer>, ReadError> {
        let error = match self.0.offer_seats().await {
            Ok(step) => return Ok(Some(step)),
            Err(error) => error,
        };
        let Some(slot) = self.0.postpone_opening().await? else { return Err(error) };
        let error = error_chain(&error);
        tracing::error!(venue_id = %slot.venue_id, date = %slot.date, start_time = %slot.start_time, error,
            "the seats of a slot are not offered");
        Ok(None)
    }

    /// Whether it noted anything. Offers do not wait for a review that fails.
    async fn review(&self, batch: &mut Batch) -> bool {
        match self.0.review_waitlist().await {
            Ok(reviewed) => reviewed > 0,
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(error, "those who wait at a venue whose policy has changed are not gone through");
                batch.failed += 1;
                false
            }
        }
    }
}
