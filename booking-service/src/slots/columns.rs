//! Planned slots as parameters of a statement: an array for each column.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::domain::PlannedSlot;

/// Planned slots, as one array for each column.
pub struct SlotColumns {
    pub dates: Vec<NaiveDate>,
    pub start_times: Vec<NaiveTime>,
    pub starts_at: Vec<DateTime<Utc>>,
    pub ends_at: Vec<DateTime<Utc>>,
    pub capacities: Vec<i32>,
    pub prices: Vec<i64>,
    pub closed: Vec<bool>,
}

impl SlotColumns {
    pub fn of(slots: &[PlannedSlot]) -> Self {
        Self {
            dates: slots.iter().map(|slot| slot.date).collect(),
            start_times: slots.iter().map(|slot| slot.start_time).collect(),
            starts_at: slots.iter().map(|slot| slot.starts_at).collect(),
            ends_at: slots.iter().map(|slot| slot.ends_at).collect(),
            capacities: slots.iter().map(|slot| slot.capacity).collect(),
            closed: slots.iter().map(|slot| slot.is_closed).collect(),
            prices: slots.iter().map(|slot| slot.price_per_person_cents).collect(),
        }
    }
}
