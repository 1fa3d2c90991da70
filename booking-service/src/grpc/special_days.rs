//! Decodes and encodes SetSpecialDays, ListSpecialDays and DeleteSpecialDays.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use teppan_shared::{
    contract::booking::v1 as wire,
    page::{self, PageSizes, TokenError},
    status::Violations,
    wire::{given, timestamp},
};
use tonic::Status;

use super::{
    encode,
    set_weekly_schedule::{check_capacity, check_price, decode_period},
};
use crate::{
    domain::{
        Deviation, SchedulePeriod, SpecialDays, SpecialDaysId, SpecialDaysReason, VenueId, parse_date, parse_start_time,
    },
    slots::special_days::{AffectedBookings, SpecialDaysChanged, SpecialDaysCursor, SpecialDaysPage, SpecialDaysQuery},
};

const DAYS_MAX: i64 = 400;
const PERIODS_MAX: usize = 20;
const SIZES: PageSizes = PageSizes { default: 50, max: 500 };

/// Decodes the request, or returns every violation.
pub fn decode_set(request: &wire::SetSpecialDaysRequest, now: DateTime<Utc>) -> Result<(VenueId, SpecialDays), Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let Some(given_days) = &request.special_days else {
        violations.add("special_days", "is required");
        return Err(violations.into_status());
    };
    let special_days =
        violations.within("special_days.", |violations| decode_special_days(given_days, now, violations));
    let (Some(venue_id), Some(special_days)) = (venue_id, special_days) else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok((venue_id, special_days))
}

fn decode_special_days(
    raw: &wire::SpecialDays,
    now: DateTime<Utc>,
    violations: &mut Violations,
) -> Option<SpecialDays> {
    let id = violations.check("special_days_id", SpecialDaysId::parse(&raw.special_days_id));
    let first_date = violations.check("first_date", parse_date(&raw.first_date));
    let last_date = violations.check_optional("last_date", given_date(&raw.last_date));
    let last_date = last_date.and_then(|last| last.or(first_date));
    if let (Some(first), Some(last)) = (first_date, last_date) {
        if last < first {
            violations.add("last_date", "must not be before first_date");
        } else if last - first >= TimeDelta::days(DAYS_MAX) {
            violations.add("last_date", format_args!("must be at most {} days after first_date", DAYS_MAX - 1));
        }
    }
    let time = |text: &str| (!text.is_empty()).then(|| parse_start_time(text));
    let from_time = violations.check_optional("from_time", time(&raw.from_time));
    let until_time = violations.check_optional("until_time", time(&raw.until_time));
    if let (Some(Some(from)), Some(Some(until))) = (from_time, until_time)
        && until <= from
    {
        violations.add("until_time", "must be after from_time");
    }
    let reason = violations.check("reason", SpecialDaysReason::parse(&raw.reason));
    let deviation = decode_deviation(raw, violations);
    let special_days = SpecialDays {
        id: id?,
        first_date: first_date?,
        last_date: last_date?,
        from_time: from_time?,
        until_time: until_time?,
        deviation: deviation?,
        reason: reason?.into_inner(),
        set_at: now,
    };
    check_hours(&special_days, violations);
    Some(special_days)
}

/// Exactly one kind of deviation must be given.
fn decode_deviation(raw: &wire::SpecialDays, violations: &mut Violations) -> Option<Deviation> {
    let hours = decode_hours(&raw.hours, violations);
    if let Some(capacity) = raw.capacity {
        check_capacity(capacity, "capacity", violations);
    }
    if let Some(price) = raw.price_per_person_cents {
        check_price(price, "price_per_person_cents", violations);
    }
    let has_values = raw.capacity.is_some() || raw.price_per_person_cents.is_some();
    match (raw.closed, raw.hours.is_empty(), has_values) {
        (true, true, false) => Some(Deviation::Closed),
        (false, false, false) => Some(Deviation::Hours(hours)),
        (false, true, true) => {
            Some(Deviation::Values { capacity: raw.capacity, price_per_person_cents: raw.price_per_person_cents })
        }
        (false, true, false) => {
            violations.add("closed", "must be set unless hours, capacity or price_per_person_cents are");
            None
        }
        (true, ..) => {
            violations.add("closed", "must not be set together with hours, capacity or price_per_person_cents");
            None
        }
        (false, false, true) => {
            violations.add("hours", "must not be set together with capacity or price_per_person_cents");
            None
        }
    }
}

fn decode_hours(hours: &[wire::SchedulePeriod], violations: &mut Violations) -> Vec<SchedulePeriod> {
    if hours.len() > PERIODS_MAX {
        violations.add("hours", format_args!("must be at most {PERIODS_MAX}"));
    }
    let mut periods = Vec::new();
    for (index, period) in hours.iter().take(PERIODS_MAX).enumerate() {
        let path = format!("hours[{index}]");
        for (field, bound) in [("valid_from", &period.valid_from), ("valid_until", &period.valid_until)] {
            if !bound.is_empty() {
                violations
                    .add(format_args!("{path}.{field}"), "must be empty: first_date and last_date are the bounds");
            }
        }
        let mut period =
            wire::SchedulePeriod { valid_from: String::new(), valid_until: String::new(), ..period.clone() };
        if period.days.is_empty() {
            period.days = (wire::Weekday::Monday.into()..=wire::Weekday::Sunday.into()).collect();
        }
        periods.extend(decode_period(&period, &path, violations));
    }
    periods
}

/// Checks the starts of special hours.
fn check_hours(special_days: &SpecialDays, violations: &mut Violations) {
    let Deviation::Hours(periods) = &special_days.deviation else { return };
    for (index, period) in periods.iter().enumerate() {
        if !period.starts().all(|start| special_days.includes(start)) {
            let problem = "must have no start before from_time, and none at until_time or later";
            violations.add(format_args!("hours[{index}]"), problem);
        }
        if let Some(other) = periods[..index].iter().position(|earlier| earlier.clashes_with(period)) {
            let problem = format_args!("has the same start on the same day as hours[{other}]");
            violations.add(format_args!("hours[{index}]"), problem);
        }
    }
}

/// Decodes the request, or returns every violation.
pub fn decode_delete(request: &wire::DeleteSpecialDaysRequest) -> Result<(VenueId, SpecialDaysId), Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let id = violations.check("special_days_id", SpecialDaysId::parse(&request.special_days_id));
    venue_id.zip(id).ok_or_else(|| violations.into_status())
}

/// A requested page of special days.
pub struct Page {
    pub query: SpecialDaysQuery,
    pub after: Option<SpecialDaysCursor>,
    pub size: u16,
}

/// Decodes the request, or returns every violation.
pub fn decode_list(request: &wire::ListSpecialDaysRequest) -> Result<Page, Status> {
    let mut violations = Violations::default();
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let from_date = violations.check_optional("from_date", given_date(&request.from_date));
    let to_date = violations.check_optional("to_date", given_date(&request.to_date));
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let after = violations.check("page_token", decode_token(request));
    let parsed = (venue_id, from_date, to_date, size, after);
    let (Some(venue_id), Some(from_date), Some(to_date), Some(size), Some(after)) = parsed else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok(Page { query: SpecialDaysQuery { venue_id, from_date, to_date }, after, size })
}

fn given_date(text: &str) -> Option<Result<NaiveDate, &'static str>> {
    given(text.to_owned()).map(|text| parse_date(&text))
}

fn decode_token(request: &wire::ListSpecialDaysRequest) -> Result<Option<SpecialDaysCursor>, TokenError> {
    page::decode_token(&filters(request), &request.page_token)
}

/// The filters that a token belongs to.
fn filters(request: &wire::ListSpecialDaysRequest) -> (&str, &str, &str) {
    (&request.venue_id, &request.from_date, &request.to_date)
}

pub fn encode_set(changed: SpecialDaysChanged) -> wire::SetSpecialDaysResponse {
    let (affected_bookings, affected_count) = affected(changed.affected);
    let special_days = changed.special_days.map(special_days);
    wire::SetSpecialDaysResponse { special_days, affected_bookings, affected_count }
}

pub fn encode_delete(changed: SpecialDaysChanged) -> wire::DeleteSpecialDaysResponse {
    let (affected_bookings, affected_count) = affected(changed.affected);
    wire::DeleteSpecialDaysResponse { deleted: changed.special_days.is_some(), affected_bookings, affected_count }
}

pub fn encode_list(request: &wire::ListSpecialDaysRequest, found: SpecialDaysPage) -> wire::ListSpecialDaysResponse {
    wire::ListSpecialDaysResponse {
        special_days: found.special_days.into_iter().map(special_days).collect(),
        next_page_token: found.next.map_or_else(String::new, |cursor| page::encode_token(&filters(request), &cursor)),
    }
}

fn special_days(special: SpecialDays) -> wire::SpecialDays {
    let time = |time: Option<_>| time.map_or_else(String::new, encode::time);
    let mut encoded = wire::SpecialDays {
        special_days_id: special.id.to_string(),
        first_date: encode::date(special.first_date),
        last_date: encode::date(special.last_date),
        from_time: time(special.from_time),
        until_time: time(special.until_time),
        reason: special.reason,
        set_at: Some(timestamp(special.set_at)),
        ..Default::default()
    };
    match special.deviation {
        Deviation::Closed => encoded.closed = true,
        Deviation::Hours(periods) => encoded.hours = periods.iter().map(encode::period).collect(),
        Deviation::Values { capacity, price_per_person_cents } => {
            (encoded.capacity, encoded.price_per_person_cents) = (capacity, price_per_person_cents);
        }
    }
    encoded
}

fn affected(affected: AffectedBookings) -> (Vec<wire::AffectedBooking>, i32) {
    let bookings = affected.bookings.into_iter().map(|booking| wire::AffectedBooking {
        booking_id: booking.booking_id.to_string(),
        date: encode::date(booking.date),
        start_time: encode::time(booking.start_time),
        status: wire::BookingStatus::from(booking.status).into(),
        party_size: booking.party_size,
    });
    (bookings.collect(), i32::try_from(affected.count).unwrap_or(i32::MAX))
}
