//! Offers of freed seats: each offer is a pending booking for the first entry in the queue whose party fits.

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

use std::{sync::Arc, time::Duration};

use crate::{
    bookings::{
        begin::created,
        booking::{Booking, from_hex},
        change::is_overtaken,
        decision::{Decision, Occasion},
        event_data::EventData,
        fold::FoldFault,
        metrics::WaitlistChange,
    },
    domain::{
        AreaKey, BookingId, ConfirmationCode, CustomerId, FloorState, OutboxDestination, SlotKey, TimeZone,
        WaitlistEntryId, instant_or_next,
    },
    slots::row::{Seating, SlotRow, seat, slot_refusal},
    venues::policy::VenuePolicy,
    waitlist::Waitlist,
};

/// The most slots that one run processes.
const STEPS_MAX: usize = 64;
/// For how long the claimed notes of a slot belong to the process that claimed them.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// For how long a slot is postponed after its offer failed.
const FAILURE_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// Pause after an offer during which the seats or the first entry changed, so that a slot under load is not tried without
/// one. The notes stay due: this process may have made the offer itself and lost the answer.
const STALE_PAUSE: Duration = Duration::from_millis(20);

/// A waiting entry. Read as the JSON of the row.
#[derive(Debug, Clone, Deserialize)]
struct Candidate {
    waitlist_entry_id: WaitlistEntryId,
    /// The id of the booking that an offer will create; the details are sealed with it.
    booking_id: BookingId,
    customer_id: CustomerId,
    party_size: i32,
    conversation_id: String,
    details_sealed: Option<String>,
    source: String,
    traceparent: Option<String>,
    /// The areas in which the party would sit, in the order of preference; `None`: any.
    #[serde(default)]
    areas: Option<Vec<AreaKey>>,
}

/// The decision about the free seats of a slot.
enum Verdict {
    Offer(Box<Decision>),
    /// No waiting party fits.
    NoCandidate,
    /// Customers wait for a slot beyond the venue's horizon; it becomes bookable at this instant.
    NotBefore(DateTime<Utc>),
}

/// Offers the free seats of a slot to the first entry in the queue that the venue accepts.
fn decide(opening: &Opening, occasion: &Occasion, code: &ConfirmationCode) -> Result<Verdict, FoldFault> {
    let Opening { slot, venue, floor, candidates, .. } = opening;
    let seating = |next: &Candidate| {
        let refusal = slot_refusal(venue, Some(slot), slot.slot_date, next.party_size, occasion.at);
        let seat = |area| seat(slot, floor.as_ref(), area, next.party_size, &[]).ok();
        refusal.is_none().then(|| match (&next.areas, floor) {
            (Some(areas), Some(_)) => areas.iter().find_map(|area| seat(Some(area))),
            // A floor that was removed has no areas to choose from.
            _ => seat(None),
        })?
    };
    if let Some((next, seating)) = candidates.iter().find_map(|next| Some((next, seating(next)?))) {
        return Ok(Verdict::Offer(Box::new(offer(next, slot, &seating, venue, occasion, code)?)));
    }
    if opening.has_waiting_entries && slot.slot_date > venue.horizon(occasion.at) {
        return Ok(Verdict::NotBefore(within_horizon_at(slot, venue, occasion.at)));
    }
    Ok(Verdict::NoCandidate)
}

/// When a slot's day comes within the venue's horizon.
fn within_horizon_at(slot: &SlotRow, venue: &VenuePolicy, now: DateTime<Utc>) -> DateTime<Utc> {
    let days = Days::new(u64::try_from(venue.horizon_days).unwrap_or(0));
    let midnight = TimeZone::parse(&venue.time_zone)
        .map_or(now, |zone| instant_or_next(zone, (slot.slot_date - days).and_time(NaiveTime::MIN)));
    // At least a minute: by the clock in the venue's row, the day may still be beyond the horizon.
    midnight.max(now + TimeDelta::minutes(1))
}

/// Creates the pending booking of an offer, also when no deposit is due.
fn offer(
    next: &Candidate,
    slot: &SlotRow,
    seating: &Seating,
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
        ..created(slot, seating, venue, next.party_size, true, occasion.at)
    };
    let mut decision = Decision::create(EventData::BookingCreated(created), &occasion)?;
    let waitlist_entry_id = next.waitlist_entry_id.to_string();
    let offered = wire::WaitlistOffered { waitlist_entry_id, ..Default::default() };
    decision.apply(EventData::WaitlistOffered(offered))?;
    decision.take_seats(slot);
    let details_sealed = next.details_sealed.as_deref().and_then(from_hex);
    decision.booking = Booking { details_sealed, source: next.source.clone(), ..decision.booking };
    Ok(decision)
}

/// A slot with freed seats, whose notes this process has claimed.
struct Opening {
    notes: Vec<i64>,
    noted_at: DateTime<Utc>,
    slot: SlotRow,
    venue: VenuePolicy,
    floor: Option<FloorState>,
    candidates: Vec<Candidate>,
    has_waiting_entries: bool,
}

/// The one row of `claim_opening.sql`.
struct Claimed {
    notes: Vec<i64>,
    noted_at: Option<DateTime<Utc>>,
    slot: Option<Value>,
    venue: Option<Value>,
    floor: Option<Value>,
    candidates: Option<Value>,
    has_waiting_entries: bool,
    /// Whether entries wait for any slot.
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
            floor: self.floor.map(serde_json::from_value).transpose().map_err(read)?,
            candidates: self.candidates.map_or(Ok(Vec::new()), serde_json::from_value).map_err(read)?,
            has_waiting_entries: self.has_waiting_entries,
        }))
    }
}

impl Waitlist {
    /// Offers the seats of one slot to the first entry that fits. Returns the number of offers: 0 or 1.
    ///
    /// The notes of the slot stay until a run finds no entry that fits. If the process dies, they are due again after
    /// their lease. A run removes only the notes that it has read: seats that are freed later have a note of their own.
    async fn offer_seats(&self, opening: &Opening) -> Result<u64, ReadError> {
        let occasion = Occasion::of_worker(self.clock.now());
        let verdict = decide(opening, &occasion, &ConfirmationCode::generate());
        let decision = match verdict.map_err(|_| Corrupted::Column("claim_opening"))? {
            Verdict::Offer(decision) => decision,
            Verdict::NoCandidate => {
                self.settle_notes(&opening.notes, &[], occasion.at, false).await?;
                return Ok(0);
            }
            Verdict::NotBefore(at) => {
                // Only the newest note stays.
                let (newest, others) =
                    opening.notes.split_last().map_or((None, &[][..]), |(it, them)| (Some(*it), them));
                self.settle_notes(others, newest.as_slice(), at, true).await?;
                return Ok(0);
            }
        };
        // Nothing is committed if the seats or the entry were taken meanwhile; a later step tries again. If the commit
        // fails, the caller postpones the slot, so that it is not tried again without a pause.
        let offered = match self.bookings.commit(vec![*decision]).await {
            Ok(committed) => committed.len(),
            // Another booking took the seats of the area.
            Err(error) if is_overtaken(&error) => 0,
            // The customer of an entry with a window waits for this slot alone since.
            Err(error) if error.violates("waitlist_entries_wait_once") => 0,
            Err(error) => return Err(error.into()),
        };
        if offered > 0 {
            self.live.nudge();
            self.outbox.nudge(OutboxDestination::EventStream);
            self.metrics.waitlist(WaitlistChange::Offered, 1);
        }
        if offered == 0 {
            tokio::time::sleep(STALE_PAUSE).await;
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

/// Offers freed seats to waiting customers.
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
            self.0.freed_seats.set_entries_wait(claimed.queue_exists);
            let notes = claimed.notes.clone();
            let opening = match claimed.opening() {
                Ok(opening) => opening,
                Err(error) => {
                    self.postpone(&notes, None, &error.into(), &mut batch).await?;
                    continue;
                }
            };
            let Some(opening) = opening else {
                // The next steps offer the seats of the slots that the review has noted.
                if review_due && self.review(&mut batch).await {
                    continue;
                }
                return Ok(batch);
            };
            batch.lag = batch.lag.max((now.signed_duration_since(opening.noted_at)).to_std().unwrap_or_default());
            match self.0.offer_seats(&opening).await {
                Ok(offered) => batch.done += offered,
                Err(error) => self.postpone(&notes, Some(opening.slot.key()), &error, &mut batch).await?,
            }
        }
        Ok(Batch { more: true, ..batch })
    }
}

impl WaitlistOffers {
    /// Postpones a slot whose offer failed, so that it does not block the others. If even this write fails, the run
    /// ends.
    async fn postpone(
        &self,
        notes: &[i64],
        slot: Option<SlotKey>,
        error: &ReadError,
        batch: &mut Batch,
    ) -> Result<(), DatabaseError> {
        let due_at = self.0.clock.now() + FAILURE_PAUSE;
        self.0.settle_notes(&[], notes, due_at, false).await?;
        batch.failed += 1;
        tracing::error!(?slot, ?notes, error = error_chain(error), "waitlist offer failed");
        Ok(())
    }

    /// Whether the review noted any slot. A failed review does not stop the offers.
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
