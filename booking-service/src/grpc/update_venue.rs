use std::ops::RangeInclusive;

use teppan_shared::{
    contract::booking::v1::{UpdateVenueRequest, Venue},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{create_venue, update_mask};
use crate::domain::{
    Currency, Etag, PhoneRegion, TimeZone, VenueChange, VenueId, VenueName, VenuePlace, VenueTags, range,
};

/// A decoded UpdateVenueRequest.
pub struct Update {
    pub venue_id: VenueId,
    pub change: VenueChange,
    /// The version by the request's etag; `None`: not checked.
    pub version: Option<i64>,
}

/// Decodes the request, or returns every violation. Of the venue only its id and the fields in the mask are read.
pub fn decode(request: UpdateVenueRequest) -> Result<Update, Status> {
    let mut violations = Violations::default();
    let venue = request.venue.unwrap_or_default();
    let venue_id = violations.check("venue.venue_id", VenueId::parse(&venue.venue_id));
    let mut change = VenueChange::default();
    let paths = request.update_mask.unwrap_or_default().paths;
    update_mask::apply(&paths, "name or horizon_days", &mut violations, |path, violations| {
        set(path, &venue, &mut change, violations)
    });
    if let (Some(min), Some(max)) = (change.min_party_size, change.max_party_size)
        && max < min
    {
        violations.add("venue.max_party_size", "must not be less than min_party_size");
    }
    let Some(venue_id) = venue_id else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok(Update { venue_id, change, version: given(request.etag).map(|etag| Etag::parse(&etag).version()) })
}

/// Sets one field of the change. Returns false for a field that cannot be changed.
fn set(path: &str, venue: &Venue, change: &mut VenueChange, violations: &mut Violations) -> bool {
    let field = format!("venue.{path}");
    let mut figure =
        |value: i32, range: RangeInclusive<i32>| Some(create_venue::figure(&field, value, &range, violations));
    match path {
        "name" => change.name = violations.check(&field, VenueName::parse(&venue.name)),
        "time_zone" => change.time_zone = violations.check(&field, TimeZone::parse(&venue.time_zone)),
        "currency" => change.currency = violations.check(&field, Currency::parse(&venue.currency)),
        "min_party_size" => change.min_party_size = figure(venue.min_party_size, range::PARTY_SIZE),
        "max_party_size" => change.max_party_size = figure(venue.max_party_size, range::PARTY_SIZE),
        "notice_minutes" => change.notice_minutes = figure(venue.notice_minutes, range::NOTICE_MINUTES),
        "horizon_days" => change.horizon_days = figure(venue.horizon_days, range::HORIZON_DAYS),
        "hold_minutes" => change.hold_minutes = figure(venue.hold_minutes, range::HOLD_MINUTES),
        "deposit_percent" => change.deposit_percent = figure(venue.deposit_percent, range::PERCENT),
        "deposit_per_person_cents" => {
            change.deposit_per_person_cents = Some(cents(&field, venue.deposit_per_person_cents, violations));
        }
        "deposit_fixed_cents" => {
            change.deposit_fixed_cents = Some(cents(&field, venue.deposit_fixed_cents, violations));
        }
        "deposit_min_party_size" => {
            change.deposit_min_party_size = figure(venue.deposit_min_party_size, range::DEPOSIT_PARTY_SIZE);
        }
        "minimum_spend_cents" => {
            change.minimum_spend_cents = Some(cents(&field, venue.minimum_spend_cents, violations));
        }
        "no_show_fee_per_person_cents" => {
            change.no_show_fee_per_person_cents = Some(cents(&field, venue.no_show_fee_per_person_cents, violations));
        }
        "full_refund_hours" => change.full_refund_hours = figure(venue.full_refund_hours, range::REFUND_HOURS),
        "late_refund_percent" => change.late_refund_percent = figure(venue.late_refund_percent, range::PERCENT),
        "waitlist_hold_minutes" => {
            change.waitlist_hold_minutes = figure(venue.waitlist_hold_minutes, range::HOLD_MINUTES);
        }
        "undo_minutes" => change.undo_minutes = figure(venue.undo_minutes, range::UNDO_MINUTES),
        "phone_region" => change.phone_region = violations.check(&field, PhoneRegion::parse(&venue.phone_region)),
        "tags" => change.tags = violations.check(&field, VenueTags::parse(&venue.tags)),
        "place" => change.place = violations.check(&field, VenuePlace::parse(&venue.place)),
        "reminders" => {
            let reminders = create_venue::reminders(venue.reminders.as_ref());
            change.reminders = violations.check(format!("{field}.minutes_before"), reminders);
        }
        _ => return false,
    }
    true
}

fn cents(field: &str, value: i64, violations: &mut Violations) -> i64 {
    create_venue::figure(field, value, &range::CENTS, violations)
}
