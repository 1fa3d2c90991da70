use chrono::{Datelike as _, NaiveDate, TimeDelta, Timelike as _};
use teppan_shared::{
    contract::booking::v1::{ListAvailabilityRequest, ListAvailabilityResponse},
    page::{self, PageSizes, TokenError},
    status::Violations,
};
use tonic::Status;

use super::encode;
use crate::{
    domain::{PartySize, VenueId, parse_date},
    slots::list_availability::{Availability, AvailabilityQuery, RANGE_DAYS_MAX, SlotCursor},
};

const SIZES: PageSizes = PageSizes { default: 500, max: 2000 };

/// A requested page of slots.
pub struct Page {
    pub query: AvailabilityQuery,
    pub after: Option<SlotCursor>,
    pub size: u16,
}

/// Decodes the request, or returns every violation.
pub fn decode(request: &ListAvailabilityRequest) -> Result<Page, Status> {
    let mut violations = Violations::default();
    let given = |text: &str| (!text.is_empty()).then(|| parse_date(text));
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let from_date = violations.check_optional("from_date", given(&request.from_date));
    let to_date = violations.check_optional("to_date", given(&request.to_date));
    if let (Some(Some(from)), Some(Some(to))) = (from_date, to_date) {
        check_range(from, to, &mut violations);
    }
    let party_size = match request.party_size {
        0 => 1,
        size => size,
    };
    let party_size = violations.check("party_size", PartySize::parse(party_size));
    let size = violations.check("page_size", SIZES.parse(request.page_size));
    let after = violations.check("page_token", decode_token(request));

    let parsed = (venue_id, from_date, to_date, party_size, size, after);
    let (Some(venue_id), Some(from_date), Some(to_date), Some(party_size), Some(size), Some(after)) = parsed else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    let query = AvailabilityQuery { venue_id, from_date, to_date, party_size, bookable_only: request.bookable_only };
    Ok(Page { query, after, size })
}

fn check_range(from: NaiveDate, to: NaiveDate, violations: &mut Violations) {
    if to < from {
        violations.add("to_date", "must not be before from_date");
    } else if to - from > TimeDelta::days(RANGE_DAYS_MAX.into()) {
        violations.add("to_date", format_args!("must be at most {RANGE_DAYS_MAX} days after from_date"));
    }
}

pub fn encode(request: &ListAvailabilityRequest, found: Availability) -> ListAvailabilityResponse {
    ListAvailabilityResponse {
        slots: found.slots.iter().map(encode::slot_availability).collect(),
        next_page_token: found.next.map_or_else(String::new, |cursor| page::encode_token(&filters(request), &cursor)),
        time_zone: found.time_zone,
        currency: found.currency,
    }
}

fn decode_token(request: &ListAvailabilityRequest) -> Result<Option<SlotCursor>, TokenError> {
    let cursor = page::decode_token::<SlotCursor>(&filters(request), &request.page_token)?;
    let Some((date, start_time)) = cursor else { return Ok(None) };
    // Refuse a forged token whose values the database cannot read, such as the fraction that marks a leap second.
    let readable = (1970..10_000).contains(&date.year()) && start_time.nanosecond() < 1_000_000_000;
    if readable { Ok(Some((date, start_time))) } else { Err(TokenError::Unreadable) }
}

fn filters(request: &ListAvailabilityRequest) -> (&str, &str, &str, i32, bool) {
    (&request.venue_id, &request.from_date, &request.to_date, request.party_size, request.bookable_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_page_token_is_refused() {
        let decode = |date: &str, start_time: &str| {
            let mut request = ListAvailabilityRequest::default();
            request.page_token = page::encode_token(&filters(&request), &(date, start_time));
            decode_token(&request)
        };
        let cursor = decode("2026-12-05", "18:00:00").expect("readable").expect("there");
        assert_eq!((cursor.0.to_string(), cursor.1.to_string()), ("2026-12-05".to_owned(), "18:00:00".to_owned()));
        for (date, start_time) in [
            ("1969-12-31", "18:00:00"),
            ("+10000-01-01", "18:00:00"),
            ("-2026-12-05", "18:00:00"),
            ("2026-12-05", "23:59:60"),
            ("2026-12-05", "23:59:60.5"),
            ("2026-12-05", "24:00:00"),
            ("", ""),
        ] {
            assert_eq!(decode(date, start_time), Err(TokenError::Unreadable), "{date:?} {start_time:?}");
        }
    }
}
