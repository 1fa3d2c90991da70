//! The alternatives in the error of a refused booking.
//!
//! They are an addition to a refusal that is already decided, so they must never cost much more than the refusal
//! itself:
//! - Refusals of the same slot and party size share one search for a second. A sold-out slot that is asked for ten
//!   thousand times a minute is searched at most sixty times in that minute.
//! - A search gets little of the time that the call has left, and waits for a connection only if one is expected soon.
//!   Otherwise the refusal is sent without alternatives.

use std::{sync::Arc, time::Duration};

use teppan_shared::{error_chain::error_chain, postgres};
use tokio::time::{Instant, timeout};

use super::{
    Slots,
    recent_searches::RecentSearches,
    suggest::{Suggestion, Suggestions},
};
use crate::domain::{SlotKey, StartWish, Terms};

/// The most alternatives of a refusal.
const ALTERNATIVES_MAX: usize = 3;
/// How far from the refused start an alternative may be: the whole evening, and the next noon.
const WINDOW_MINUTES: u16 = 720;
/// The most time that a search may add to a refusal.
const BUDGET: Duration = Duration::from_millis(200);
/// With less time, a search would probably only make the refusal late.
const BUDGET_MIN: Duration = Duration::from_millis(10);

/// The searches of the last second, by the refused slot and the party size.
pub type RecentAlternatives = RecentSearches<(SlotKey, i32), Option<Arc<[Suggestion]>>>;

impl Slots {
    /// The nearest starts of the same venue that the party can book, without the start that the booking has already.
    /// `terms`: those that price them, if not the venue's. `None` if there is no time to search, or the search fails.
    pub async fn alternatives(
        &self,
        refused: SlotKey,
        party_size: i32,
        current: Option<SlotKey>,
        terms: Option<Terms>,
    ) -> Option<Vec<Suggestion>> {
        let budget = BUDGET.min(postgres::time_left() / 4);
        if budget < BUDGET_MIN {
            return None;
        }
        let search = || postgres::in_time(Instant::now() + budget, self.search_alternatives(refused, party_size));
        let found = timeout(budget, self.recent_alternatives.get((refused, party_size), search)).await.ok()??;
        let is_current =
            |it: &Suggestion| current.is_some_and(|own| (own.date, own.start_time) == (it.date, it.start_time));
        let mut found: Vec<_> = found?.iter().filter(|it| !is_current(it)).take(ALTERNATIVES_MAX).cloned().collect();
        if let Some(terms) = terms {
            for it in &mut found {
                it.total_cents = terms.total_cents(it.price_per_person_cents, party_size);
            }
        }
        Some(found)
    }

    /// One more than the most alternatives, because the booking's own start may be among them.
    async fn search_alternatives(&self, refused: SlotKey, party_size: i32) -> Option<Arc<[Suggestion]>> {
        let at = refused.date.and_time(refused.start_time);
        let wish = StartWish { at, party_size, window_minutes: WINDOW_MINUTES, limit: ALTERNATIVES_MAX + 1 };
        match self.suggest_slots(&[refused.venue_id], &wish).await {
            Ok(Suggestions { suggestions, .. }) => Some(suggestions.into()),
            Err(error) => {
                tracing::debug!(error = error_chain(&error), "a refusal is sent without alternatives");
                None
            }
        }
    }
}
