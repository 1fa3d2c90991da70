use strum::VariantArray as _;
use teppan_shared::{contract::events::v1 as wire, postgres::DatabaseError};
use uuid::Uuid;

use super::{
    change::ATTEMPTS_MAX,
    decision::{Decision, Occasion},
    event_data::{EventData, timestamp},
    load::Loaded,
};
use crate::{
    bookings::Bookings,
    domain::{BookingChange, OutboxDestination},
};

/// Moves a booking to the instant of its slot after newer time zone rules have moved the slot. The local date and time
/// and the length stay. `None` if the booking need not or cannot be moved.
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
        occupied_until: booking.occupied_until.and_then(|at| timestamp(slot.starts_at + (at - booking.starts_at))),
        time_zone_rules: rules.to_owned(),
        hold_expires_at: booking.hold_expires_at.and_then(|at| timestamp(at.min(slot.starts_at))),
        ..Default::default()
    };
    decision.apply(EventData::BookingInstantCorrected(corrected)).ok()?;
    decision.follow_instants(booking);
    Some(decision)
}

/// The results of a correction of bookings.
#[derive(Debug, Default)]
pub(crate) struct Corrected {
    pub corrected: usize,
    /// Bookings that changed concurrently in every attempt.
    pub stale: Vec<Uuid>,
    /// Bookings that cannot be read or changed; the log names them.
    pub failed: u64,
}

impl Bookings {
    /// Moves bookings to the instant of their slots. A booking that changes concurrently is decided again.
    ///
    /// The slots have been moved already. A booking that took seats before its slot moved held the slot's lock and has
    /// committed, so it is loaded here; a later booking takes the new instant from the slot.
    pub(crate) async fn correct_instants(&self, bookings: &[Uuid], rules: &str) -> Result<Corrected, DatabaseError> {
        let mut result = Corrected { stale: bookings.to_vec(), ..Corrected::default() };
        for _ in 0..ATTEMPTS_MAX {
            if result.stale.is_empty() {
                break;
            }
            let now = self.clock.now();
            let (loaded, unreadable) = self.load_readable(&result.stale).await?;
            let decisions = loaded.iter().filter_map(|it| decide(it, rules, &Occasion::of_worker(now))).collect();
            let batch = self.commit_batch(decisions).await?;
            result.corrected += batch.committed.len();
            result.failed += batch.failed + unreadable;
            result.stale = batch.stale;
        }
        if result.corrected > 0 {
            self.live.nudge();
            for &destination in OutboxDestination::VARIANTS {
                self.outbox.nudge(destination);
            }
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{
        super::fixtures::{
            START, assert_sound, at, booking_in_status, confirmed_booking, events, occasion, pending_booking,
        },
        *,
    };
    use crate::domain::BookingStatus;

    /// Moves the booking's slot by this many minutes.
    fn shifted(mut loaded: Loaded, minutes: i64) -> Loaded {
        let slot = loaded.slot.as_mut().expect("its slot");
        slot.starts_at += TimeDelta::minutes(minutes);
        slot.ends_at += TimeDelta::minutes(minutes);
        loaded
    }

    #[test]
    fn a_booking_follows_its_slot_and_keeps_its_length() {
        for (loaded, minutes) in
            [(confirmed_booking(), 60), (pending_booking(), -60), (booking_in_status(BookingStatus::Expired), 60)]
        {
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
    fn a_hold_ends_at_the_latest_at_the_corrected_start_of_its_booking() {
        let mut loaded = shifted(pending_booking(), -60);
        loaded.booking.hold_expires_at = Some(at(START));
        let decision = decide(&loaded, "2026a", &occasion(2)).expect("corrected");
        assert_eq!(decision.booking.hold_expires_at, Some(at(START - 60)));
    }

    #[test]
    fn a_booking_that_is_correct_or_over_is_not_corrected() {
        assert!(decide(&confirmed_booking(), "2026a", &occasion(2)).is_none(), "it begins with its slot");
        assert!(
            decide(&shifted(confirmed_booking(), -60), "2026a", &occasion(START)).is_none(),
            "both instants have passed"
        );
        assert!(
            decide(&shifted(confirmed_booking(), 60), "2026a", &occasion(START)).is_some(),
            "the new instant is in the future"
        );
        for ended in [BookingStatus::Cancelled, BookingStatus::Completed, BookingStatus::NoShow] {
            assert!(decide(&shifted(booking_in_status(ended), 60), "2026a", &occasion(2)).is_none(), "{ended:?}");
        }
        assert!(
            decide(&Loaded { slot: None, ..confirmed_booking() }, "2026a", &occasion(2)).is_none(),
            "it has no slot"
        );
    }
}
