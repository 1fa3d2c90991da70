use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;

use crate::domain::{Currency, SlotRules, Terms, WALK_IN_LATE_MINUTES};

/// A venue's policy, and the clock of its row. Read as the JSON of its row.
#[derive(Debug, Clone, Deserialize)]
pub struct VenuePolicy {
    pub time_zone: String,
    pub currency: Currency,
    pub phone_region: String,
    pub utc_offset_seconds: i32,
    pub clock_changes_at: Option<DateTime<Utc>>,
    pub next_utc_offset_seconds: i32,
    pub min_party_size: i32,
    pub max_party_size: i32,
    pub notice_minutes: i32,
    pub horizon_days: i32,
    pub hold_minutes: i32,
    pub waitlist_hold_minutes: i32,
    pub deposit_percent: i32,
    pub deposit_per_person_cents: i64,
    pub deposit_fixed_cents: i64,
    pub deposit_min_party_size: i32,
    pub minimum_spend_cents: i64,
    pub no_show_fee_per_person_cents: i64,
    pub full_refund_hours: i32,
    pub late_refund_percent: i32,
    pub undo_minutes: i32,
}

impl VenuePolicy {
    /// The policy for parties at the door.
    #[must_use]
    pub fn for_walk_ins(self) -> Self {
        let terms = self.terms().for_walk_ins();
        Self {
            notice_minutes: -WALK_IN_LATE_MINUTES,
            deposit_percent: terms.deposit_percent,
            deposit_per_person_cents: terms.deposit_per_person_cents,
            deposit_fixed_cents: terms.deposit_fixed_cents,
            deposit_min_party_size: terms.deposit_min_party_size,
            minimum_spend_cents: terms.minimum_spend_cents,
            no_show_fee_per_person_cents: terms.no_show_fee_per_person_cents,
            ..self
        }
    }

    /// The local date at the venue at a moment. The SQL function `venue_date` has the same rule.
    pub fn date_at(&self, moment: DateTime<Utc>) -> NaiveDate {
        let has_changed = self.clock_changes_at.is_some_and(|at| moment >= at);
        let offset = if has_changed { self.next_utc_offset_seconds } else { self.utc_offset_seconds };
        (moment + TimeDelta::seconds(offset.into())).date_naive()
    }

    /// The last date that can be booked at a moment.
    pub fn horizon(&self, moment: DateTime<Utc>) -> NaiveDate {
        self.slot_rules().at(moment, self.date_at(moment)).last_date
    }

    /// The terms of a booking that is made now. The SQL function `venue_terms` has the same rule.
    pub fn terms(&self) -> Terms {
        Terms {
            full_refund_hours: self.full_refund_hours,
            late_refund_percent: self.late_refund_percent,
            deposit_percent: self.deposit_percent,
            deposit_per_person_cents: self.deposit_per_person_cents,
            deposit_fixed_cents: self.deposit_fixed_cents,
            deposit_min_party_size: self.deposit_min_party_size,
            minimum_spend_cents: self.minimum_spend_cents,
            no_show_fee_per_person_cents: self.no_show_fee_per_person_cents,
        }
    }

    pub fn slot_rules(&self) -> SlotRules {
        let Self { min_party_size, max_party_size, notice_minutes, horizon_days, .. } = *self;
        SlotRules { min_party_size, max_party_size, notice_minutes, horizon_days }
    }
}
