use chrono::{NaiveDate, TimeDelta};
use teppan_shared::{
    contract::booking::v1::{ListAvailabilityRequest, ListAvailabilityResponse},
    page::{self, PageSizes},
    status::Violations,
};
use tonic::Status;

use super::encode;
use crate::{
    domain::{PartySize, VenueId, parse_date},
    list_availability::{Availability, AvailabilityQuery, SlotCursor},
};

const SIZES: PageSizes = PageSizes { default: 500, max: 2000 };
/// How far apart the dates of one request may be.
const RANGE_DAYS_MAX: i64 = 366;

/// A page of slots that is asked for.
pub struct Page {
    pub query: AvailabilityQuery,
    pub after: Option<SlotCursor>,
    pub size: usize,
}

/// Reads the request, or lists everything that is wrong with it.
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
    let after = violations.check("page_token", page::decode_token(&filters(request), &request.page_token));

    let parsed = (venue_id, from_date, to_date, party_size, size, after);
    let (Some(venue_id), Some(from_date), Some(to_date), Some(party_size), Some(size), Some(after)) = parsed else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    let query = AvailabilityQuery { venue_id, from_date, to_date, party_size, bookable_only: request.bookable_only };
    Ok(Page { query, after, size: size.into() })
}

fn check_range(from: NaiveDate, to: NaiveDate, violations: &mut Violations) {
    if to < from {
        violations.add("to_date", "must not be before from_date");
    } else if to - from > TimeDelta::days(RANGE_DAYS_MAX) {
        violations.add("to_date", format_args!("must be at most {RANGE_DAYS_MAX} days after from_date"));
    }
}

/// One more slot than the page holds tells that there is another page.
pub fn encode(request: &ListAvailabilityRequest, page: &Page, mut found: Availability) -> ListAvailabilityResponse {
    let more = found.slots.len() > page.size;
    found.slots.truncate(page.size);
    let next_page_token = match found.slots.last() {
        Some(last) if more => page::encode_token(&filters(request), &(last.date, last.start_time)),
        _ => String::new(),
    };
    ListAvailabilityResponse {
        slots: found.slots.iter().map(encode::slot_availability).collect(),
        next_page_token,
        time_zone: found.time_zone,
        currency: found.currency,
    }
}

fn filters(request: &ListAvailabilityRequest) -> (&str, &str, &str, i32, bool) {
    (&request.venue_id, &request.from_date, &request.to_date, request.party_size, request.bookable_only)
}
