use teppan_shared::{
    contract::booking::v1::{
        BatchCheckAvailabilityRequest, BatchCheckAvailabilityResponse, SlotAvailability, SlotCheck, SlotQuery,
        UnavailableReason,
    },
    status::Violations,
};
use tonic::Status;

use super::encode;
use crate::{
    domain::{PartySize, SlotKey, VenueId, parse_date, parse_start_time},
    slots::batch_check_availability as domain,
};

const QUERIES_MAX: usize = 500;

/// Decodes the request, or returns every violation.
pub fn decode(request: &BatchCheckAvailabilityRequest) -> Result<Vec<domain::SlotQuery>, Status> {
    let mut violations = Violations::default();
    if !(1..=QUERIES_MAX).contains(&request.queries.len()) {
        violations.add("queries", format_args!("must be 1 to {QUERIES_MAX}"));
    }
    let queries = request
        .queries
        .iter()
        .take(QUERIES_MAX)
        .enumerate()
        .filter_map(|(index, query)| decode_query(query, index, &mut violations))
        .collect();
    violations.finish()?;
    Ok(queries)
}

fn decode_query(query: &SlotQuery, index: usize, violations: &mut Violations) -> Option<domain::SlotQuery> {
    let venue_id = violations.check(format_args!("queries[{index}].venue_id"), VenueId::parse(&query.venue_id));
    let date = violations.check(format_args!("queries[{index}].date"), parse_date(&query.date));
    let start_time = violations.check(format_args!("queries[{index}].start_time"), parse_start_time(&query.start_time));
    let party_size = match query.party_size {
        0 => 1,
        size => size,
    };
    let party_size = violations.check(format_args!("queries[{index}].party_size"), PartySize::parse(party_size));
    let slot = SlotKey { venue_id: venue_id?, date: date?, start_time: start_time? };
    Some(domain::SlotQuery { slot, party_size: party_size? })
}

pub fn encode(
    request: BatchCheckAvailabilityRequest,
    checks: Vec<domain::SlotCheck>,
) -> BatchCheckAvailabilityResponse {
    let checks = request.queries.into_iter().zip(checks).map(|(query, check)| encode_check(query, check)).collect();
    BatchCheckAvailabilityResponse { checks }
}

fn encode_check(query: SlotQuery, check: domain::SlotCheck) -> SlotCheck {
    let missing = |reason: UnavailableReason| SlotAvailability {
        date: query.date.clone(),
        start_time: query.start_time.clone(),
        unavailable_reason: reason.into(),
        ..Default::default()
    };
    let (availability, total_cents, deposit_cents, currency) = match check {
        domain::SlotCheck::NoVenue => (missing(UnavailableReason::VenueNotFound), 0, 0, String::new()),
        domain::SlotCheck::NoSlot { currency, refusal } => {
            (missing(encode::unavailable_reason(refusal)), 0, 0, currency)
        }
        domain::SlotCheck::Slot { currency, slot, total_cents, deposit_cents } => {
            (encode::slot_availability(&slot), total_cents, deposit_cents, currency)
        }
    };
    SlotCheck { query: Some(query), availability: Some(availability), total_cents, deposit_cents, currency }
}
