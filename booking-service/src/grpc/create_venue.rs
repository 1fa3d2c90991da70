use std::{fmt::Display, ops::RangeInclusive};

use teppan_shared::{
    contract::booking::v1::{CreateVenueRequest, VenueReminders},
    status::Violations,
};
use tonic::Status;

use crate::domain::{
    Currency, IdempotencyKey, NewVenue, PhoneRegion, ReminderMinutes, TimeZone, UNDO_MINUTES_DEFAULT, VenueName,
    VenuePlace, VenueTags, range,
};

/// Decodes the request, or returns every violation. The API documents the ranges and defaults.
pub fn decode(request: CreateVenueRequest) -> Result<NewVenue, Status> {
    let mut violations = Violations::default();
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    let name = violations.check("name", VenueName::parse(&request.name));
    let time_zone = violations.check("time_zone", TimeZone::parse(&request.time_zone));
    let currency = violations.check("currency", Currency::parse(request.currency.as_deref().unwrap_or("EUR")));
    let phone_region =
        violations.check_optional("phone_region", request.phone_region.map(|region| PhoneRegion::parse(&region)));
    let tags = violations.check("tags", VenueTags::parse(&request.tags));
    let place = violations.check("place", VenuePlace::parse(&request.place));
    let reminders = violations.check("reminders.minutes_before", reminders(request.reminders.as_ref()));
    let mut cents = |field, value: Option<i64>| figure(field, value.unwrap_or(0), &range::CENTS, &mut violations);
    let deposit_per_person_cents = cents("deposit_per_person_cents", request.deposit_per_person_cents);
    let deposit_fixed_cents = cents("deposit_fixed_cents", request.deposit_fixed_cents);
    let minimum_spend_cents = cents("minimum_spend_cents", request.minimum_spend_cents);
    let no_show_fee_per_person_cents = cents("no_show_fee_per_person_cents", request.no_show_fee_per_person_cents);
    let mut figure = |field, value: Option<i32>, default: i32, range: RangeInclusive<i32>| {
        figure(field, value.unwrap_or(default), &range, &mut violations)
    };
    let min_party_size = figure("min_party_size", request.min_party_size, 1, range::PARTY_SIZE);
    let max_party_size = figure("max_party_size", request.max_party_size, 50, range::PARTY_SIZE);
    let notice_minutes = figure("notice_minutes", request.notice_minutes, 240, range::NOTICE_MINUTES);
    let horizon_days = figure("horizon_days", request.horizon_days, 90, range::HORIZON_DAYS);
    let hold_minutes = figure("hold_minutes", request.hold_minutes, 120, range::HOLD_MINUTES);
    let deposit_percent = figure("deposit_percent", request.deposit_percent, 25, range::PERCENT);
    let deposit_min_party_size =
        figure("deposit_min_party_size", request.deposit_min_party_size, 0, range::DEPOSIT_PARTY_SIZE);
    let full_refund_hours = figure("full_refund_hours", request.full_refund_hours, 24, range::REFUND_HOURS);
    let late_refund_percent = figure("late_refund_percent", request.late_refund_percent, 50, range::PERCENT);
    let waitlist_hold_minutes = figure("waitlist_hold_minutes", request.waitlist_hold_minutes, 30, range::HOLD_MINUTES);
    let undo_minutes = figure("undo_minutes", request.undo_minutes, UNDO_MINUTES_DEFAULT, range::UNDO_MINUTES);
    if max_party_size < min_party_size {
        violations.add("max_party_size", "must not be less than min_party_size");
    }

    let parsed = (key, name, time_zone, currency, phone_region, tags, place, reminders);
    let (
        Some(key),
        Some(name),
        Some(time_zone),
        Some(currency),
        Some(phone_region),
        Some(tags),
        Some(place),
        Some(reminders),
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok(NewVenue {
        key,
        name,
        time_zone,
        currency,
        min_party_size,
        max_party_size,
        notice_minutes,
        horizon_days,
        hold_minutes,
        deposit_percent,
        full_refund_hours,
        late_refund_percent,
        waitlist_hold_minutes,
        undo_minutes,
        phone_region,
        tags,
        place,
        reminders,
        deposit_per_person_cents,
        deposit_fixed_cents,
        deposit_min_party_size,
        minimum_spend_cents,
        no_show_fee_per_person_cents,
    })
}

/// Checks that a figure is in its range.
pub fn figure<T: PartialOrd + Display>(
    field: &str,
    value: T,
    range: &RangeInclusive<T>,
    violations: &mut Violations,
) -> T {
    if !range.contains(&value) {
        violations.add(field, format_args!("must be {} to {}", range.start(), range.end()));
    }
    value
}

/// The given times, or the default.
pub fn reminders(given: Option<&VenueReminders>) -> Result<ReminderMinutes, &'static str> {
    given.map_or(Ok(ReminderMinutes::default()), |reminders| ReminderMinutes::parse(&reminders.minutes_before))
}
