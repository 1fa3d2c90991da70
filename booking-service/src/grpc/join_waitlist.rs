use teppan_shared::{contract::booking::v1 as wire, status::Violations, wire::given};
use tonic::Status;

use super::create_booking::decode_contact;
use crate::domain::{
    ConversationId, IdempotencyKey, NewWaitlistEntry, PartySize, SlotKey, Source, SpecialRequests, VenueId, parse_date,
    parse_start_time,
};

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::JoinWaitlistRequest) -> Result<NewWaitlistEntry, Status> {
    let mut violations = Violations::default();
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let date = violations.check("date", parse_date(&request.date));
    let start_time = violations.check("start_time", parse_start_time(&request.start_time));
    let party_size = violations.check("party_size", PartySize::parse(request.party_size));
    let contact = decode_contact(request.contact, true, &mut violations);
    let conversation_id =
        violations.check_optional("conversation_id", given(request.conversation_id).map(ConversationId::parse));
    let special_requests =
        violations.check_optional("special_requests", given(request.special_requests).map(SpecialRequests::parse));
    let source = violations.check_optional("source", given(request.source).map(|source| Source::parse(&source)));

    let parsed = (key, venue_id, date, start_time, party_size, contact, conversation_id, special_requests, source);
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
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    Ok(NewWaitlistEntry {
        key,
        slot: SlotKey { venue_id, date, start_time },
        party_size,
        contact,
        conversation_id,
        special_requests,
        source,
        validate_only: request.validate_only,
    })
}
