//! The schedules of the venues in a model test.

use teppan_shared::contract::booking::v1::{ScheduleException, SchedulePeriod, Weekday};

/// A schedule's values for one slot.
#[derive(Debug, Clone)]
pub struct Figures {
    pub duration_minutes: i32,
    pub capacity: i32,
    pub price_cents: i64,
    /// An exception closes the day.
    pub is_closed: bool,
}

impl Figures {
    pub fn of(period: &SchedulePeriod, exception: Option<&ScheduleException>) -> Self {
        let capacity = exception.and_then(|exception| exception.capacity);
        let price = exception.and_then(|exception| exception.price_per_person_cents);
        Self {
            duration_minutes: if period.duration_minutes == 0 { 120 } else { period.duration_minutes },
            capacity: capacity.unwrap_or(period.capacity),
            price_cents: price.unwrap_or(period.price_per_person_cents),
            is_closed: exception.is_some_and(|exception| exception.closed),
        }
    }
}

/// The starts that slots have or could have. At 02:30 clocks change.
pub const STARTS: [&str; 5] = ["18:00", "20:00", "12:00", "02:30", "18:30"];

/// One of a few schedules with different days, starts, lengths, seats and prices. The first two have the same starts.
pub fn schedule(variant: u8) -> Vec<SchedulePeriod> {
    let all = (Weekday::Monday as i32..=Weekday::Sunday as i32).collect::<Vec<_>>();
    let but_mondays = (Weekday::Tuesday as i32..=Weekday::Sunday as i32).collect::<Vec<_>>();
    let period = |days: &Vec<i32>, first: &str, last: &str, interval, duration, capacity, price| SchedulePeriod {
        days: days.clone(),
        first_start: first.to_owned(),
        last_start: last.to_owned(),
        interval_minutes: interval,
        duration_minutes: duration,
        capacity,
        price_per_person_cents: price,
        ..Default::default()
    };
    match variant {
        0 => vec![period(&all, "18:00", "20:00", 120, 120, 8, 3333)],
        1 => vec![period(&all, "18:00", "20:00", 120, 90, 5, 4001)],
        2 => vec![
            period(&but_mondays, "12:00", "12:00", 30, 60, 10, 1),
            period(&all, "18:00", "19:00", 30, 120, 6, 3333),
        ],
        3 => vec![period(&all, "02:30", "02:30", 30, 60, 4, 999), period(&all, "20:00", "20:00", 30, 150, 8, 5000)],
        _ => Vec::new(),
    }
}
