use chrono::{DateTime, Utc};
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
};

use crate::{
    bookings::change::{ATTEMPTS_MAX, came_in_between},
    bookings::metrics::WaitlistChange,
    core::Core,
    domain::{ConfirmationCode, EventId, OutboxDestination},
};

/// What one run did.
pub struct Offer {
    pub outcome: OfferOutcome,
    /// Since when the seats can be offered.
    pub noted_at: Option<DateTime<Utc>>,
    /// Somebody waits at a venue whose policy has changed.
    pub review_due: bool,
}

/// The statement's own comment says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferOutcome {
    Offered,
    Settled,
    Contended,
    Idle,
}

impl Core {
    /// Offers the seats that came free in one slot to the first who waits for them and fits, or finds that
    /// nobody does.
    ///
    /// # Errors
    /// [`ReadError`], though never that something is not found. What was left undone is found again.
    pub async fn offer_seats(&self) -> Result<Offer, ReadError> {
        let destinations = self.destinations(false);
        // Each run has ids and a code of its own: when the answer of one is lost, the next makes another offer.
        let offer = || {
            let code = ConfirmationCode::generate();
            sqlx::query_file!(
                "src/waitlist/offer.sql",
                self.clock.now(),
                EventId::generate().0,
                EventId::generate().0,
                code.as_str(),
                &destinations,
            )
        };
        let mut attempt = 1;
        let look = self.waitlist.look();
        let row = loop {
            match self.database.fetch_one(offer).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_worth_another(&error) => attempt += 1,
                answer => break answer?,
            }
        };
        let outcome = match row.outcome.as_str() {
            "offered" => OfferOutcome::Offered,
            "settled" => OfferOutcome::Settled,
            "contended" => OfferOutcome::Contended,
            "idle" => OfferOutcome::Idle,
            _ => return Err(Corrupted::Column("offer_seats.outcome").into()),
        };
        self.waitlist.looked(look, row.anyone_waits);
        // The run that finds nobody follows an offer, perhaps one whose answer was lost.
        if matches!(outcome, OfferOutcome::Offered | OfferOutcome::Settled) {
            self.live.nudge();
            self.outbox.nudge(OutboxDestination::EventStream);
        }
        if outcome == OfferOutcome::Offered {
            self.metrics.waitlist(WaitlistChange::Offered, 1);
        }
        Ok(Offer { outcome, noted_at: row.noted_at, review_due: row.review_due })
    }
}

fn is_worth_another(error: &DatabaseError) -> bool {
    came_in_between(error) || error.violates("bookings_confirmation_code_key")
}
