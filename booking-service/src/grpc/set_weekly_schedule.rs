use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use chrono::{NaiveDate, NaiveTime};
use teppan_shared::{contract::booking::v1 as wire, status::Violations};
use tonic::Status;

use super::encode;
use crate::{
    domain::{ScheduleException, SchedulePeriod, VenueId, Weekday, WeeklySchedule, parse_date, parse_start_time},
    slots::set_weekly_schedule::LaidOut,
};

const PERIODS_MAX: usize = 100;
const EXCEPTIONS_MAX: usize = 1000;
/// Most seats of a slot.
pub const CAPACITY_MAX: i32 = 100_000;
const PRICE_MAX_CENTS: i64 = 100_000_000;

/// Decodes the request, or returns every violation.
pub fn decode(request: &wire::SetWeeklyScheduleRequest) -> Result<(VenueId, WeeklySchedule), Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    if request.periods.len() > PERIODS_MAX {
        violations.add("periods", format_args!("must be at most {PERIODS_MAX}"));
    }
    if request.exceptions.len() > EXCEPTIONS_MAX {
        violations.add("exceptions", format_args!("must be at most {EXCEPTIONS_MAX}"));
    }
    let periods: Vec<_> = request
        .periods
        .iter()
        .take(PERIODS_MAX)
        .enumerate()
        .filter_map(|(index, period)| {
            decode_period(period, &format!("periods[{index}]"), &mut violations).map(|period| (index, period))
        })
        .collect();
    let exceptions = decode_exceptions(&request.exceptions, &mut violations);
    for (index, _) in periods.iter().filter(|(_, period)| !period.ever_applies()) {
        let path = format!("periods[{index}].days");
        violations.add(path, "must include a day that occurs between valid_from and valid_until");
    }
    // Skipped if a period is invalid: its dates are unknown.
    if periods.len() == request.periods.len() {
        check_specials(&exceptions, &periods, &mut violations);
    }
    for (count_before, (index, period)) in periods.iter().enumerate() {
        if let Some((other, _)) = periods[..count_before].iter().find(|(_, earlier)| earlier.clashes_with(period)) {
            violations.add(
                format!("periods[{index}]"),
                format_args!("has the same start on the same date as periods[{other}]"),
            );
        }
    }
    let periods = periods.into_iter().map(|(_, period)| period).collect();
    let exceptions = exceptions.into_iter().map(|(date, (_, exception))| (date, exception)).collect();
    let Some(venue_id) = venue_id else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok((venue_id, WeeklySchedule { periods, exceptions, special_days: Vec::new() }))
}

pub(super) fn decode_period(
    period: &wire::SchedulePeriod,
    path: &str,
    violations: &mut Violations,
) -> Option<SchedulePeriod> {
    let at = |field: &str| format!("{path}.{field}");
    let days = decode_days(&period.days, &at("days"), violations);
    let first_start = violations.check(at("first_start"), parse_start_time(&period.first_start));
    let last_start = violations.check(at("last_start"), parse_start_time(&period.last_start));
    if let (Some(first), Some(last)) = (first_start, last_start)
        && last < first
    {
        violations.add(at("last_start"), "must not be before first_start");
    }
    let mut minutes = |field, value: i32, default: u32, least: u32| match u32::try_from(value) {
        Ok(0) => default,
        Ok(number) if (least..=1440).contains(&number) => number,
        _ => {
            violations.add(at(field), format_args!("must be {least} to 1440 minutes"));
            default
        }
    };
    let interval_minutes = minutes("interval_minutes", period.interval_minutes, 30, 5);
    let duration_minutes = minutes("duration_minutes", period.duration_minutes, 120, 5);
    let buffer_minutes = minutes("buffer_minutes", period.buffer_minutes, 0, 0);
    check_capacity(period.capacity, at("capacity"), violations);
    check_price(period.price_per_person_cents, at("price_per_person_cents"), violations);
    let valid_from = decode_bound(&period.valid_from, &at("valid_from"), violations);
    let valid_until = decode_bound(&period.valid_until, &at("valid_until"), violations);
    if let (Some(Some(from)), Some(Some(until))) = (valid_from, valid_until)
        && until < from
    {
        violations.add(at("valid_until"), "must not be before valid_from");
    }
    Some(SchedulePeriod {
        days: days?,
        first_start: first_start?,
        last_start: last_start?.max(first_start.unwrap_or(NaiveTime::MIN)),
        interval_minutes,
        buffer_minutes,
        duration_minutes,
        capacity: period.capacity,
        price_per_person_cents: period.price_per_person_cents,
        valid_from: valid_from?,
        valid_until: valid_until?,
    })
}

fn decode_days(days: &[i32], path: &str, violations: &mut Violations) -> Option<BTreeSet<Weekday>> {
    let parsed: Option<BTreeSet<_>> = days
        .iter()
        .enumerate()
        .map(|(index, day)| violations.check(format_args!("{path}[{index}]"), Weekday::parse(*day)))
        .collect();
    let parsed = parsed?;
    if parsed.is_empty() || parsed.len() != days.len() {
        violations.add(path, "must name at least one day, and no day twice");
        return None;
    }
    Some(parsed)
}

fn decode_bound(raw: &str, path: &str, violations: &mut Violations) -> Option<Option<NaiveDate>> {
    violations.check_optional(path, (!raw.is_empty()).then(|| parse_date(raw)))
}

/// Refuses exceptions with seats or a price on dates without a period: such an exception opens no slots.
fn check_specials(
    exceptions: &BTreeMap<NaiveDate, (usize, ScheduleException)>,
    periods: &[(usize, SchedulePeriod)],
    violations: &mut Violations,
) {
    for (date, (index, exception)) in exceptions {
        let is_special = matches!(exception, ScheduleException::Special { .. });
        if is_special && !periods.iter().any(|(_, period)| period.applies_on(*date)) {
            let path = format!("exceptions[{index}].date");
            violations.add(path, "must be a date on which a period has slots: add a period for this date alone");
        }
    }
}

/// The exceptions, each with its index in the request.
fn decode_exceptions(
    exceptions: &[wire::ScheduleException],
    violations: &mut Violations,
) -> BTreeMap<NaiveDate, (usize, ScheduleException)> {
    let mut parsed = BTreeMap::new();
    for (index, exception) in exceptions.iter().take(EXCEPTIONS_MAX).enumerate() {
        let at = |field: &str| format!("exceptions[{index}].{field}");
        let date = violations.check(at("date"), parse_date(&exception.date));
        if let Some(capacity) = exception.capacity {
            check_capacity(capacity, at("capacity"), violations);
        }
        if let Some(price) = exception.price_per_person_cents {
            check_price(price, at("price_per_person_cents"), violations);
        }
        let special = (exception.capacity, exception.price_per_person_cents);
        let exception = match (exception.closed, special) {
            (true, (None, None)) => ScheduleException::Closed,
            (true, _) => {
                violations.add(at("closed"), "must not be set together with capacity or price_per_person_cents");
                continue;
            }
            (false, (capacity, price_per_person_cents)) => {
                ScheduleException::Special { capacity, price_per_person_cents }
            }
        };
        if let Some(date) = date
            && parsed.insert(date, (index, exception)).is_some()
        {
            violations.add(at("date"), "must not have a second exception");
        }
    }
    parsed
}

pub(super) fn check_capacity(capacity: i32, path: impl Display, violations: &mut Violations) {
    if !(1..=CAPACITY_MAX).contains(&capacity) {
        violations.add(path, format_args!("must be 1 to {CAPACITY_MAX} seats"));
    }
}

pub fn check_price(cents: i64, path: impl Display, violations: &mut Violations) {
    if !(0..=PRICE_MAX_CENTS).contains(&cents) {
        violations.add(path, format_args!("must be 0 to {PRICE_MAX_CENTS} minor units"));
    }
}

pub fn encode(done: &LaidOut) -> wire::SetWeeklyScheduleResponse {
    // The number of slots is bounded far below i32::MAX.
    let count = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    wire::SetWeeklyScheduleResponse {
        slots_created: count(done.created),
        slots_updated: count(done.updated),
        slots_closed: count(done.closed),
        slots_kept_reserved: count(done.kept_reserved),
        slots_unchanged: count(done.unchanged),
        first_date: encode::date(done.first_date),
        last_date: encode::date(done.last_date),
    }
}
