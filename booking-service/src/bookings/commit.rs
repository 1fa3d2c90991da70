use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use sqlx::{Row as _, postgres::PgRow};
use strum::VariantArray as _;
use teppan_shared::{error_chain::error_chain, postgres::DatabaseError};
use uuid::Uuid;

use super::{
    booking::to_hex,
    change::is_overtaken,
    decision::{Decision, NewEvent, PaymentChange, SeatChange},
};
use crate::{bookings::Bookings, domain::OutboxDestination};

const COMMIT: &str = include_str!("commit.sql");

/// The results of a worker's decisions.
#[derive(Debug, Default)]
pub struct CommittedBatch {
    pub committed: Vec<Decision>,
    /// Bookings that changed after they were loaded.
    pub stale: Vec<Uuid>,
    /// The number of decisions that violated a constraint, or waited too long for a lock.
    pub failed: u64,
}

impl CommittedBatch {
    fn add(&mut self, decisions: &[Decision], committed: Vec<Decision>) {
        let ids: HashSet<Uuid> = committed.iter().map(|it| it.booking.booking_id.0).collect();
        self.stale.extend(decisions.iter().map(|it| it.booking.booking_id.0).filter(|id| !ids.contains(id)));
        self.committed.extend(committed);
    }
}

/// Whether the commit may have failed because of one booking only.
fn concerns_one_booking(error: &DatabaseError) -> bool {
    is_overtaken(error) || error.violates_a_constraint() || matches!(error, DatabaseError::TimedOut(_))
}

impl Bookings {
    /// Commits decisions about different bookings in one statement. Returns the committed decisions; the others are
    /// stale, because data from which they were decided has changed.
    ///
    /// # Errors
    /// [`DatabaseError`]; if a constraint was violated, nothing was written.
    pub(crate) async fn commit(&self, decisions: Vec<Decision>) -> Result<Vec<Decision>, DatabaseError> {
        let Some(now) = decisions.first().map(|first| first.occasion.at) else { return Ok(decisions) };
        let all = |rows: fn(&Bookings, &Decision) -> Vec<Value>| -> Value {
            decisions.iter().flat_map(|decision| rows(self, decision)).collect()
        };
        let bookings = all(|_, it| vec![booking_row(it)]);
        let seats = all(|_, it| it.seats.iter().map(|seats| seat_row(it, seats)).collect());
        let events = all(|core, it| it.events.iter().map(|event| core.event_row(it, event)).collect());
        let payments = all(|_, it| it.payments.iter().map(|payment| payment_row(it, payment)).collect());
        let keys = all(|_, it| key_row(it).into_iter().collect());
        let commit = || {
            sqlx::query(COMMIT)
                .bind(&bookings)
                .bind(&seats)
                .bind(&events)
                .bind(&payments)
                .bind(&keys)
                .bind(now)
                .try_map(|row: PgRow| Ok((row.try_get::<Uuid, _>(0)?, row.try_get::<bool, _>(1)?)))
        };
        let committed: HashMap<Uuid, bool> = self.database.fetch_all(commit).await?.into_iter().collect();
        if committed.values().any(|is_miscounted| *is_miscounted) {
            tracing::error!("a slot had fewer reserved seats than its bookings freed: run verify-events");
        }
        let is_committed = |decision: &Decision| committed.contains_key(&decision.booking.booking_id.0);
        Ok(decisions.into_iter().filter(is_committed).collect())
    }

    /// Commits the decisions of a worker. If the batch fails because of one of them, each is committed alone.
    ///
    /// # Errors
    /// [`DatabaseError`], if the database gave no answer.
    pub(crate) async fn commit_batch(&self, decisions: Vec<Decision>) -> Result<CommittedBatch, DatabaseError> {
        let mut batch = CommittedBatch::default();
        match self.commit(decisions.clone()).await {
            Ok(committed) => {
                batch.add(&decisions, committed);
                return Ok(batch);
            }
            Err(error) if concerns_one_booking(&error) => {}
            Err(error) => return Err(error),
        }
        // A slot that is locked for long costs one timeout, not one for each of its bookings.
        let mut locked = HashSet::new();
        for decision in decisions {
            if decision.seats.iter().any(|seats| locked.contains(&seats.slot)) {
                batch.failed += 1;
                continue;
            }
            match self.commit(vec![decision.clone()]).await {
                Ok(committed) => batch.add(&[decision], committed),
                Err(error) if is_overtaken(&error) => batch.add(&[decision], Vec::new()),
                Err(error) if concerns_one_booking(&error) => {
                    if matches!(error, DatabaseError::TimedOut(_)) {
                        locked.extend(decision.seats.iter().map(|seats| seats.slot));
                    }
                    let booking_id = decision.booking.booking_id;
                    tracing::error!(%booking_id, error = error_chain(&error), "change of a booking failed");
                    batch.failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }

    fn event_row(&self, decision: &Decision, event: &NewEvent) -> Value {
        let stored = &event.stored;
        let destinations: Vec<_> = OutboxDestination::VARIANTS
            .iter()
            .filter(|destination| match destination {
                OutboxDestination::ConversationService => event.concerns_conversation,
                OutboxDestination::EventStream => self.outbox.is_in_use(*destination),
            })
            .map(ToString::to_string)
            .collect();
        json!({
            "event_id": stored.event_id,
            "booking_id": stored.booking_id,
            "version": stored.version,
            "occurred_at": stored.occurred_at,
            "type": stored.kind,
            "data": stored.data,
            "traceparent": decision.occasion.traceparent,
            "previous_hash": to_hex(&stored.previous_hash),
            "destinations": destinations,
        })
    }
}

fn booking_row(decision: &Decision) -> Value {
    let booking = (!decision.events.is_empty()).then_some(&decision.booking);
    json!({
        "booking_id": decision.booking.booking_id,
        "version": decision.loaded_version,
        "booking": booking,
        "reseals": decision.reseals,
        "forbids_duplicate": decision.forbids_duplicate,
    })
}

fn seat_row(decision: &Decision, change: &SeatChange) -> Value {
    json!({
        "booking_id": decision.booking.booking_id,
        "venue_id": change.slot.venue_id,
        "slot_date": change.slot.date,
        "start_time": change.slot.start_time,
        "seats": change.seats,
        "price_per_person_cents": change.expects.map(|slot| slot.price_per_person_cents),
        "starts_at": change.expects.map(|slot| slot.starts_at),
        "has_floor": change.expects.map(|slot| slot.has_floor),
        "area": change.occupancy.area,
        "since": change.occupancy.since,
        "until": change.occupancy.until,
        "tables": change.occupancy.tables,
        "is_forced": change.is_forced,
    })
}

fn payment_row(decision: &Decision, change: &PaymentChange) -> Value {
    json!({
        "booking_id": decision.booking.booking_id,
        "revision": change.revision,
        "payment": change.payment,
    })
}

fn key_row(decision: &Decision) -> Option<Value> {
    let key = decision.key.as_ref()?;
    Some(json!({
        "booking_id": decision.booking.booking_id,
        "method": key.method,
        "key": key.key,
        "fingerprint": to_hex(&key.fingerprint),
        "resource_id": key.resource_id,
    }))
}
