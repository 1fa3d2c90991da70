use std::collections::HashSet;

use teppan_shared::{
    contract::booking::v1::{self as wire, SuggestSlotsRequest, SuggestSlotsResponse},
    status::Violations,
    wire::timestamp,
};
use tonic::Status;

use super::encode;
use crate::{
    domain::{PartySize, StartWish, VenueId, parse_date, parse_start_time},
    slots::suggest::{Suggestion, Suggestions},
};

const VENUES_MAX: usize = 20;
const WINDOW_DEFAULT: u16 = 120;
const WINDOW_MAX: u16 = 720;
const LIMIT_DEFAULT: usize = 3;
const LIMIT_MAX: usize = 20;

/// Decodes the request, or returns every violation.
pub fn decode(request: &SuggestSlotsRequest) -> Result<(Vec<VenueId>, StartWish), Status> {
    let mut violations = Violations::default();
    let venues = decode_venues(&request.venue_ids, &mut violations);
    let date = violations.check("date", parse_date(&request.date));
    let time = violations.check("time", parse_start_time(&request.time));
    let party_size = violations.check("party_size", PartySize::parse(request.party_size));
    let window_minutes = match u16::try_from(request.window_minutes) {
        Ok(0) => WINDOW_DEFAULT,
        Ok(minutes) if minutes <= WINDOW_MAX => minutes,
        _ => {
            violations.add("window_minutes", format_args!("must be 0 to {WINDOW_MAX} minutes"));
            0
        }
    };
    let limit = match usize::try_from(request.limit) {
        Ok(0) => LIMIT_DEFAULT,
        Ok(limit) if limit <= LIMIT_MAX => limit,
        _ => {
            violations.add("limit", format_args!("must be 0 to {LIMIT_MAX}"));
            0
        }
    };
    let (Some(date), Some(time), Some(party_size)) = (date, time, party_size) else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok((venues, StartWish { at: date.and_time(time), party_size: party_size.get(), window_minutes, limit }))
}

fn decode_venues(raw: &[String], violations: &mut Violations) -> Vec<VenueId> {
    if !(1..=VENUES_MAX).contains(&raw.len()) {
        violations.add("venue_ids", format_args!("must be 1 to {VENUES_MAX}"));
    }
    let mut seen = HashSet::new();
    let mut venues = Vec::new();
    for (index, raw) in raw.iter().take(VENUES_MAX).enumerate() {
        let path = format!("venue_ids[{index}]");
        let Some(venue) = violations.check(&path, VenueId::parse(raw)) else { continue };
        if !seen.insert(venue) {
            violations.add(path, "must not be named twice");
        }
        venues.push(venue);
    }
    venues
}

pub fn encode(found: &Suggestions) -> SuggestSlotsResponse {
    SuggestSlotsResponse {
        suggestions: found.suggestions.iter().map(suggestion).collect(),
        unknown_venue_ids: found.unknown_venues.iter().map(ToString::to_string).collect(),
    }
}

/// Without the names of the venue, which the caller knows: errors travel in headers, whose size clients limit.
pub fn encode_alternatives(found: &[Suggestion]) -> wire::Alternatives {
    let unnamed = |found| wire::SlotSuggestion { venue_name: String::new(), ..suggestion(found) };
    wire::Alternatives { suggestions: found.iter().map(unnamed).collect() }
}

fn suggestion(found: &Suggestion) -> wire::SlotSuggestion {
    wire::SlotSuggestion {
        venue_id: found.venue_id.to_string(),
        venue_name: found.venue_name.to_string(),
        date: encode::date(found.date),
        start_time: encode::time(found.start_time),
        starts_at: Some(timestamp(found.starts_at)),
        ends_at: Some(timestamp(found.ends_at)),
        open_seats: found.open_seats,
        price_per_person_cents: found.price_per_person_cents,
        total_cents: found.total_cents,
        currency: found.currency.to_string(),
        minutes_from_wished: found.minutes_from_wished,
        area: found.area.as_ref().map_or_else(String::new, |area| area.as_str().to_owned()),
    }
}
