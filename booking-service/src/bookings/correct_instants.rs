use teppan_shared::{contract::events::v1 as wire, postgres::DatabaseError};
use uuid::Uuid;

use super::{
    decision::{Decision, Occasion},
    event_data::{EventData, timestamp},
    load::{Loaded, Wanted},
};
use crate::{
    core::Core,
    domain::{BookingChange, OutboxDestination},
};

/// A booking follows its slot to the instant that its local time is by newer time zone rules. Local date and time stay,
/// and so does the length. `None` where it need not or cannot follow.
fn decide(loaded: &Loaded, rules: &str, occasion: &Occasion) -> Option<Decision> {
    let (booking, slot) = (&loaded.booking, loaded.slot.as_ref()?);
    booking.status.after(BookingChange::CorrectInstant)?;
    let is_ahead = slot.starts_at.max(booking.starts_at) > occasion.at;
    if slot.starts_at == booking.starts_at || !is_ahead {
        return None;
    }
    let mut decision = Decision::about(booking, occasion);
    let corrected = wire::BookingInstantCorrected {
        date: booking.slot_date.to_string(),
        start_time: booking.start_time.format("%H:%M").to_string(),
        starts_at: timestamp(slot.starts_at),
        ends_at: timestamp(slot.starts_at + (booking.ends_at - booking.starts_at)),
        time_zone_rules: rules.to_owned(),
        hold_expires_at: booking.hold_expires_at.and_then(|at| timestamp(at.min(slot.starts_at))),
        ..Default::default()
    };
    decision.happen(EventData::BookingInstantCorrected(corrected)).ok()?;
    Some(decision)
}

impl Core {
    /// Moves bookings to the instant of their slots. Returns how many; one that changes concurrently is left out.
    ///
    /// The slots have been moved already. A booking that took seats before its slot moved held the slot's lock and has
    /// committed, so it is loaded here; a later booking takes the new instant from the slot.
    pub(crate) async fn correct_instants(&self, bookings: &[Uuid], rules: &str) -> Result<usize, DatabaseError> {
        if bookings.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let loaded = self.load(bookings, Wanted::default()).await?;
        let decisions = loaded.iter().filter_map(|it| decide(it, rules, &Occasion::of_worker(now))).collect();
        let corrected = self.commit_batch(decisions).await?;
        if !corrected.is_empty() {
            self.live.nudge();
            for destination in OutboxDestination::ALL {
                self.outbox.nudge(destination);
            }
        }
        Ok(corrected.len())
    }
}
