use teppan_shared::{contract::booking::v1 as wire, status::Violations, wire::given};
use tonic::Status;

use super::create_booking::decode_contact;
use crate::domain::{
    AreaKey, ConversationId, IdempotencyKey, NewWaitlistEntry, PartySize, SlotKey, Source, SpecialRequests,
    StartWindow, VenueId, parse_date, parse_start_time,
};

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::JoinWaitlistRequest) -> Result<NewWaitlistEntry, Status> {
    let mut violations = Violations::default();
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let date = violations.check("date", parse_date(&request.date));
    let start_time = violations.check("start_time", parse_start_time(&request.start_time));
    let latest_start = given(request.latest_start_time).map(|time| parse_start_time(&time));
    let latest_start = violations.check_optional("latest_start_time", latest_start);
    let latest_start = match (start_time, latest_start) {
        (Some(from), Some(Some(until))) if until < from => {
            violations.add("latest_start_time", "must not be before start_time");
            None
        }
        (_, latest_start) => latest_start,
    };
    let areas = violations.check("areas", decode_areas(&request.areas));
    let party_size = violations.check("party_size", PartySize::parse(request.party_size));
    let contact = decode_contact(request.contact, true, &mut violations);
    let conversation_id =
        violations.check_optional("conversation_id", given(request.conversation_id).map(ConversationId::parse));
    let special_requests =
        violations.check_optional("special_requests", given(request.special_requests).map(SpecialRequests::parse));
    let source = violations.check_optional("source", given(request.source).map(|source| Source::parse(&source)));

    let parsed = (
        key,
        venue_id,
        date,
        start_time,
        party_size,
        contact,
        conversation_id,
        special_requests,
        source,
        latest_start,
        areas,
    );
    let (
        Some(key),
        Some(venue_id),
        Some(date),
        Some(start_time),
        Some(party_size),
        Some(contact),
        Some(conversation_id),
        Some(special_requests),
        Some(source),
        Some(latest_start),
        Some(areas),
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    Ok(NewWaitlistEntry {
        key,
        slot: SlotKey { venue_id, date, start_time },
        window: (latest_start.is_some() || !areas.is_empty())
            .then(|| StartWindow { latest_start: latest_start.unwrap_or(start_time), areas }),
        party_size,
        contact,
        conversation_id,
        special_requests,
        source,
        validate_only: request.validate_only,
    })
}

fn decode_areas(raw: &[String]) -> Result<Vec<AreaKey>, &'static str> {
    let areas: Vec<AreaKey> = raw.iter().map(|area| AreaKey::parse(area)).collect::<Result<_, _>>()?;
    let differ = areas.iter().enumerate().all(|(n, area)| !areas[..n].contains(area));
    if differ && areas.len() <= StartWindow::AREAS_MAX { Ok(areas) } else { Err("must be at most 20 different areas") }
}
