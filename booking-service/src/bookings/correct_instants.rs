use teppan_shared::{contract::events::v1 as wire, postgres::DatabaseError};
use uuid::Uuid;

use super::{
    decision::{Decision, Occasion},
    event_data::{EventData, timestamp},
    load::{Loaded, Wanted},
};
use crate::{
    bookings::Bookings,
    domain::{BookingChange, OutboxDestination},
};

/// A booking follows its slot to the instant that its local time is by newer time zone rules. Local date and time stay,
/// and so does the length. `None` where it need not or cannot follow.
pub fn decide(loaded: &Loaded, rules: &str, occasion: &Occasion) -> Option<Decision> {
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

impl Bookings {
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{
        super::fixtures::{START, assert_sound, at, events, firm, in_status, occasion, pending},
        *,
    };
    use crate::domain::BookingStatus;

    /// The booking's slot now begins so many minutes after its old instant.
    fn shifted(mut loaded: Loaded, minutes: i64) -> Loaded {
        let slot = loaded.slot.as_mut().expect("its slot");
        slot.starts_at += TimeDelta::minutes(minutes);
        slot.ends_at += TimeDelta::minutes(minutes);
        loaded
    }

    #[test]
    fn a_booking_follows_its_slot_and_keeps_its_length() {
        for (loaded, minutes) in [(firm(), 60), (pending(), -60), (in_status(BookingStatus::Expired), 60)] {
            let loaded = shifted(loaded, minutes);
            let decision = decide(&loaded, "2026a", &occasion(2)).expect("corrected");
            assert_sound(Some(&loaded.booking), &decision);
            let booking = &decision.booking;
            assert_eq!((booking.starts_at, booking.ends_at), (at(START + minutes), at(START + minutes + 120)));
            assert_eq!((booking.status, booking.slot()), (loaded.booking.status, loaded.booking.slot()));
            let [EventData::BookingInstantCorrected(event)] = &events(&decision)[..] else { panic!("one event") };
            assert_eq!((event.previous_starts_at, &*event.time_zone_rules), (timestamp(at(START)), "2026a"));
            assert_eq!(decision.events[0].concerns_conversation, booking.confirmed_at.is_some());
        }
    }

    #[test]
    fn a_hold_ends_when_the_booking_now_begins() {
        let mut loaded = shifted(pending(), -60);
        loaded.booking.hold_expires_at = Some(at(START));
        let decision = decide(&loaded, "2026a", &occasion(2)).expect("corrected");
        assert_eq!(decision.booking.hold_expires_at, Some(at(START - 60)));
    }

    #[test]
    fn what_is_right_or_over_stays() {
        assert!(decide(&firm(), "2026a", &occasion(2)).is_none(), "it is so already");
        assert!(decide(&shifted(firm(), -60), "2026a", &occasion(START)).is_none(), "both instants have passed");
        assert!(decide(&shifted(firm(), 60), "2026a", &occasion(START)).is_some(), "it begins once more");
        for ended in [BookingStatus::Cancelled, BookingStatus::Completed, BookingStatus::NoShow] {
            assert!(decide(&shifted(in_status(ended), 60), "2026a", &occasion(2)).is_none(), "{ended:?}");
        }
        assert!(decide(&Loaded { slot: None, ..firm() }, "2026a", &occasion(2)).is_none(), "it has no slot");
    }
}
