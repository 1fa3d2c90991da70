//! Which starts are suggested to a party, and in which order. Pure.

use chrono::{NaiveDateTime, TimeDelta};

use super::{SlotFacts, SlotRulesNow};

/// A wish for a start. The time is local to each venue, so the distance of a start is counted on the venue's clock: at
/// a change of the clock it is not the elapsed time, but it is what a guest calls half an hour later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StartWish {
    pub at: NaiveDateTime,
    pub party_size: i32,
    /// How far before and after the wished time a start may be.
    pub window_minutes: u16,
    /// The most suggestions.
    pub limit: usize,
}

impl StartWish {
    /// The earliest local start that may be suggested.
    pub fn first(&self) -> NaiveDateTime {
        self.at - TimeDelta::minutes(self.window_minutes.into())
    }

    /// The latest local start that may be suggested.
    pub fn last(&self) -> NaiveDateTime {
        self.at + TimeDelta::minutes(self.window_minutes.into())
    }

    /// The bookable starts of these venues within the window: the nearest first, of two that are equally near the
    /// earlier one, and then in the order of the venues. A venue has one slot for each local start, so no two starts
    /// are equal in all three, and the order is always the same.
    pub fn nearest(&self, venues: &[VenueStarts]) -> Vec<NearStart> {
        let mut near: Vec<_> = venues
            .iter()
            .enumerate()
            .flat_map(|(venue, starts)| {
                let slots = starts.slots.iter().enumerate();
                let near = slots.filter(|(_, (local_start, facts))| self.fits(*local_start, *facts, &starts.rules));
                near.map(move |(slot, (local_start, _))| NearStart {
                    venue,
                    slot,
                    minutes: self.distance(*local_start),
                })
            })
            .collect();
        near.sort_by_key(|start| (start.minutes.abs(), start.minutes, start.venue));
        near.truncate(self.limit);
        near
    }

    fn fits(&self, local_start: NaiveDateTime, facts: SlotFacts, rules: &SlotRulesNow) -> bool {
        (self.first()..=self.last()).contains(&local_start)
            && rules.refusal(Some(facts), local_start.date(), self.party_size).is_none()
    }

    /// In minutes; at most a window, so it fits.
    fn distance(&self, local_start: NaiveDateTime) -> i32 {
        i32::try_from((local_start - self.at).num_minutes()).unwrap_or(i32::MAX)
    }
}

/// The slots of a venue by their local start, and its rules.
#[derive(Debug)]
pub struct VenueStarts {
    pub rules: SlotRulesNow,
    pub slots: Vec<(NaiveDateTime, SlotFacts)>,
}

/// A suggested start: the numbers of its venue and of its slot, and its signed distance from the wished time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearStart {
    pub venue: usize,
    pub slot: usize,
    pub minutes: i32,
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::SlotRules;

    fn midnight() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2026, 12, 5).expect("a date").and_hms_opt(0, 0, 0).expect("a time")
    }

    fn now() -> DateTime<Utc> {
        midnight().and_utc() - TimeDelta::days(1)
    }

    fn rules(max_party_size: i32) -> SlotRulesNow {
        let rules = SlotRules { min_party_size: 1, max_party_size, notice_minutes: 240, horizon_days: 30 };
        rules.at(now(), now().date_naive())
    }

    /// A slot this many minutes after midnight, at a venue in UTC.
    fn slot(minute: i64, is_open: bool, open_seats: i32) -> (NaiveDateTime, SlotFacts) {
        let start = midnight() + TimeDelta::minutes(minute);
        (start, SlotFacts { starts_at: start.and_utc(), is_open, open_seats })
    }

    fn wish(minute: i64, window_minutes: u16, limit: usize) -> StartWish {
        StartWish { at: midnight() + TimeDelta::minutes(minute), party_size: 2, window_minutes, limit }
    }

    #[test]
    fn nearer_starts_come_first_then_earlier_ones_then_those_of_the_venue_named_first() {
        let starts = |minutes: &[i64]| minutes.iter().map(|minute| slot(*minute, true, 2)).collect();
        let venues = [
            VenueStarts { rules: rules(8), slots: starts(&[570, 630]) },
            VenueStarts { rules: rules(8), slots: starts(&[570, 601]) },
        ];
        let near = wish(600, 30, 10).nearest(&venues);
        let order: Vec<_> = near.iter().map(|start| (start.venue, start.minutes)).collect();
        assert_eq!(order, [(1, 1), (0, -30), (1, -30), (0, 30)]);
    }

    #[test]
    fn the_window_reaches_over_midnight_and_includes_both_ends() {
        let slots = [-91, -90, 30, 150, 151].map(|minute| slot(minute, true, 2)).to_vec();
        let near = wish(30, 120, 10).nearest(&[VenueStarts { rules: rules(8), slots }]);
        assert_eq!(near.iter().map(|start| start.minutes).collect::<Vec<_>>(), [0, -120, 120]);
    }

    #[test]
    fn only_starts_that_the_party_can_book_are_suggested() {
        let slots = vec![slot(600, false, 9), slot(630, true, 1), slot(660, true, 2)];
        let near = |rules| wish(600, 120, 10).nearest(&[VenueStarts { rules, slots: slots.clone() }]).len();
        assert_eq!(near(rules(8)), 1);
        assert_eq!(near(rules(1)), 0, "the venue takes no party of two");
        let early = vec![slot(-1440, true, 9), slot(-1200, true, 9)];
        let near = wish(-1440, 720, 10).nearest(&[VenueStarts { rules: rules(8), slots: early }]);
        assert_eq!(near.iter().map(|start| start.slot).collect::<Vec<_>>(), [1], "the notice is four hours");
    }

    /// The best of the remaining starts, again and again.
    fn naive(wish: &StartWish, venues: &[VenueStarts]) -> Vec<NearStart> {
        let mut chosen: Vec<NearStart> = Vec::new();
        while chosen.len() < wish.limit {
            let mut best: Option<NearStart> = None;
            for (venue, starts) in venues.iter().enumerate() {
                for (slot, (start, facts)) in starts.slots.iter().enumerate() {
                    let minutes = i32::try_from((*start - wish.at).num_minutes()).expect("near");
                    let candidate = NearStart { venue, slot, minutes };
                    let is_free = starts.rules.refusal(Some(*facts), start.date(), wish.party_size).is_none();
                    if !is_free || minutes.abs() > wish.window_minutes.into() || chosen.contains(&candidate) {
                        continue;
                    }
                    let is_better = best.is_none_or(|best| {
                        minutes.abs() < best.minutes.abs()
                            || minutes.abs() == best.minutes.abs() && minutes < best.minutes
                    });
                    if is_better {
                        best = Some(candidate);
                    }
                }
            }
            let Some(best) = best else { return chosen };
            chosen.push(best);
        }
        chosen
    }

    fn venues() -> impl Strategy<Value = Vec<VenueStarts>> {
        let slots = prop::collection::btree_map(-300_i64..300, (any::<bool>(), 0..4), 0..12);
        let venue = (slots, 1..4).prop_map(|(slots, max_party_size)| VenueStarts {
            rules: rules(max_party_size),
            slots: slots.into_iter().map(|(at, (is_open, seats))| slot(at * 5, is_open, seats)).collect(),
        });
        prop::collection::vec(venue, 0..5)
    }

    proptest! {
        #[test]
        fn the_ranking_equals_choosing_the_best_start_again_and_again(
            venues in venues(), at in -300_i64..300, window_minutes in 0_u16..=720, limit in 1_usize..=20,
        ) {
            let wish = wish(at * 5, window_minutes, limit);
            prop_assert_eq!(wish.nearest(&venues), naive(&wish, &venues));
        }
    }
}
