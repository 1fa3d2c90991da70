//! Offers of seats that came free: each is a booking that waits, for the first in the queue whose party fits.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use teppan_shared::{
    contract::events::v1 as wire,
    error_chain::error_chain,
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    worker::{Batch, Job},
};

use std::sync::Arc;

use crate::{
    bookings::{
        begin::created,
        booking::{Booking, from_hex},
        decision::{Decision, Occasion},
        event_data::EventData,
        fold::FoldFault,
        metrics::WaitlistChange,
    },
    domain::{BookingId, ConfirmationCode, CustomerId, OutboxDestination, TimeZone, WaitlistEntryId, instant_or_next},
    slots::row::{SlotRow, slot_refusal},
    venues::policy::VenuePolicy,
    waitlist::Waitlist,
};

/// Slots that one run looks at.
const STEPS_MAX: usize = 64;
/// Until when the notes of a slot are left to a process that has claimed them.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How long a slot whose offer failed lets others go first.
const PAUSE: TimeDelta = TimeDelta::seconds(5);

/// Somebody who waits. Read as the JSON of the row.
#[derive(Debug, Clone, Deserialize)]
struct Candidate {
    waitlist_entry_id: WaitlistEntryId,
    /// The booking that an offer will be: what is sealed, is sealed for it.
    booking_id: BookingId,
    customer_id: CustomerId,
    party_size: i32,
    conversation_id: String,
    special_requests_sealed: Option<String>,
    source: String,
    traceparent: Option<String>,
}

/// What is to be done about the seats of a slot.
enum Verdict {
    Offer(Box<Decision>),
    /// Nobody fits.
    Nobody,
    /// Somebody waits for a slot beyond the venue's horizon, which begins to be bookable by time alone.
    NotBefore(DateTime<Utc>),
}

/// Decides whom the free seats of a slot are offered to: the first in the queue whom the venue takes.
fn decide(opening: &Opening, occasion: &Occasion, code: &ConfirmationCode) -> Result<Verdict, FoldFault> {
    let Opening { slot, venue, candidates, .. } = opening;
    let takes = |it: &&Candidate| slot_refusal(venue, Some(slot), slot.slot_date, it.party_size, occasion.at).is_none();
    if let Some(next) = candidates.iter().find(takes) {
        return Ok(Verdict::Offer(Box::new(offer(next, slot, venue, occasion, code)?)));
    }
    if opening.anybody_waits && slot.slot_date > venue.horizon(occasion.at) {
        return Ok(Verdict::NotBefore(within_horizon_at(slot, venue, occasion.at)));
    }
    Ok(Verdict::Nobody)
}

/// When a slot's day comes within the venue's horizon.
fn within_horizon_at(slot: &SlotRow, venue: &VenuePolicy, now: DateTime<Utc>) -> DateTime<Utc> {
    let days = Days::new(u64::try_from(venue.horizon_days).unwrap_or(0));
    let midnight = TimeZone::parse(&venue.time_zone)
        .map_or(now, |zone| instant_or_next(zone, (slot.slot_date - days).and_time(NaiveTime::MIN)));
    // A clock that is a little off is asked again.
    midnight.max(now + TimeDelta::minutes(1))
}

/// A booking that waits for an answer, also where no deposit is due.
fn offer(
    next: &Candidate,
    slot: &SlotRow,
    venue: &VenuePolicy,
    occasion: &Occasion,
    code: &ConfirmationCode,
) -> Result<Decision, FoldFault> {
    let occasion = Occasion { traceparent: next.traceparent.clone(), ..occasion.clone() };
    let created = wire::BookingCreated {
        booking_id: next.booking_id.to_string(),
        customer_id: next.customer_id.to_string(),
        conversation_id: next.conversation_id.clone(),
        confirmation_code: code.as_str().to_owned(),
        waitlist_entry_id: next.waitlist_entry_id.to_string(),
        ..created(slot, venue, next.party_size, true, occasion.at)
    };
    let mut decision = Decision::create(EventData::BookingCreated(created), &occasion)?;
    let waitlist_entry_id = next.waitlist_entry_id.to_string();
    let offered = wire::WaitlistOffered { waitlist_entry_id, ..Default::default() };
    decision.happen(EventData::WaitlistOffered(offered))?;
    decision.take_seats(slot, next.party_size);
    let special_requests_sealed = next.special_requests_sealed.as_deref().and_then(from_hex);
    decision.booking = Booking { special_requests_sealed, source: next.source.clone(), ..decision.booking };
    Ok(decision)
}

/// A slot of which seats came free, its notes claimed.
struct Opening {
    notes: Vec<i64>,
    noted_at: DateTime<Utc>,
    slot: SlotRow,
    venue: VenuePolicy,
    candidates: Vec<Candidate>,
    anybody_waits: bool,
}

/// The one row of `claim_opening.sql`.
struct Claimed {
    notes: Vec<i64>,
    noted_at: Option<DateTime<Utc>>,
    slot: Option<Value>,
    venue: Option<Value>,
    candidates: Option<Value>,
    anybody_waits: bool,
    /// Somebody waits for some slot.
    queue_exists: bool,
    review_due: bool,
}

impl Claimed {
    fn opening(self) -> Result<Option<Opening>, Corrupted> {
        let (Some(noted_at), Some(slot), Some(venue)) = (self.noted_at, self.slot, self.venue) else {
            return Ok(None);
        };
        let read = |_| Corrupted::Column("claim_opening");
        Ok(Some(Opening {
            notes: self.notes,
            noted_at,
            slot: serde_json::from_value(slot).map_err(read)?,
            venue: serde_json::from_value(venue).map_err(read)?,
            candidates: self.candidates.map_or(Ok(Vec::new()), serde_json::from_value).map_err(read)?,
            anybody_waits: self.anybody_waits,
        }))
    }
}

impl Waitlist {
    /// Offers the seats of one slot to the first who fits, or finds that nobody does. Returns how many were offered.
    ///
    /// The notes of the slot stay until a run finds nobody. A run that dies leaves them, and they are due again after
    /// their lease. A note is removed only by a run that was shown it: what was freed later has a note of its own.
    async fn offer_seats(&self, opening: &Opening) -> Result<u64, ReadError> {
        let occasion = Occasion::of_worker(self.clock.now());
        let verdict = decide(opening, &occasion, &ConfirmationCode::generate());
        let decision = match verdict.map_err(|_| Corrupted::Column("claim_opening"))? {
            Verdict::Offer(decision) => decision,
            Verdict::Nobody => {
                self.settle_notes(&opening.notes, &[], occasion.at, false).await?;
                return Ok(0);
            }
            Verdict::NotBefore(at) => {
                // The newest note stays.
                let (newest, others) =
                    opening.notes.split_last().map_or((None, &[][..]), |(it, them)| (Some(*it), them));
                self.settle_notes(others, newest.as_slice(), at, true).await?;
                return Ok(0);
            }
        };
        // None where the seats or the entry were taken meanwhile: the next step looks again. A slot whose commit fails is
        // put off, so that one that fails each time is not tried without a pause.
        let offered = self.bookings.commit(vec![*decision]).await?.len();
        if offered > 0 {
            self.live.nudge();
            self.outbox.nudge(OutboxDestination::EventStream);
            self.metrics.waitlist(WaitlistChange::Offered, 1);
        }
        self.settle_notes(&[], &opening.notes, occasion.at, false).await?;
        Ok(u64::try_from(offered).unwrap_or(0))
    }

    async fn settle_notes(
        &self,
        done: &[i64],
        kept: &[i64],
        due_at: DateTime<Utc>,
        is_parked: bool,
    ) -> Result<(), DatabaseError> {
        let settle = || sqlx::query_file!("src/waitlist/settle_notes.sql", done, kept, due_at, is_parked);
        self.database.fetch_all(settle).await?;
        Ok(())
    }
}

/// Offers seats that came free to those who wait for them.
pub struct WaitlistOffers(pub Arc<Waitlist>);

impl Job for WaitlistOffers {
    type Error = ReadError;
    const NAME: &'static str = "waitlist-offers";

    async fn run_once(&self) -> Result<Batch, ReadError> {
        let mut batch = Batch::default();
        for _ in 0..STEPS_MAX {
            let now = self.0.clock.now();
            let claim = || sqlx::query_file_as!(Claimed, "src/waitlist/claim_opening.sql", now, now + LEASE);
            let claimed = self.0.database.fetch_one(claim).await?;
            let review_due = claimed.review_due;
            self.0.freed_seats.note(claimed.queue_exists);
            let Some(opening) = claimed.opening()? else {
                // What a review notes is offered by the next steps.
                if review_due && self.review(&mut batch).await {
                    continue;
                }
                return Ok(batch);
            };
            batch.lag = batch.lag.max((now.signed_duration_since(opening.noted_at)).to_std().unwrap_or_default());
            match self.0.offer_seats(&opening).await {
                Ok(offered) => batch.done += offered,
                Err(error) => self.put_off(&opening, &error, &mut batch).await?,
            }
        }
        Ok(Batch { more: true, ..batch })
    }
}

impl WaitlistOffers {
    /// One slot that cannot be offered must not keep the others from it. Where not even that can be written, nothing
    /// can.
    async fn put_off(&self, opening: &Opening, error: &ReadError, batch: &mut Batch) -> Result<(), DatabaseError> {
        let slot = opening.slot.key();
        let due_at = self.0.clock.now() + PAUSE;
        self.0.settle_notes(&[], &opening.notes, due_at, false).await?;
        batch.failed += 1;
        let error = error_chain(error);
        tracing::error!(venue_id = %slot.venue_id, date = %slot.date, start_time = %slot.start_time, error,
            "waitlist offer failed");
        Ok(())
    }

    /// Whether it noted anything. Offers do not wait for a review that fails.
    async fn review(&self, batch: &mut Batch) -> bool {
        match self.0.review_waitlist().await {
            Ok(reviewed) => reviewed > 0,
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(error, "waitlist review failed");
                batch.failed += 1;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
