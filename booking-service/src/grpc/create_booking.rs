use teppan_shared::{contract::booking::v1 as wire, status::Violations, wire::given};
use tonic::Status;

use crate::domain::{
    AreaKey, Contact, ConversationId, Email, GivenPhone, IdempotencyKey, Name, NewBooking, PartySize, SlotKey, Source,
    SpecialRequests, StripeIntentId, VenueId, WALK_IN, parse_date, parse_start_time,
};

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::CreateBookingRequest) -> Result<NewBooking, Status> {
    let mut violations = Violations::default();
    let key = violations.check("idempotency_key", IdempotencyKey::parse(request.idempotency_key));
    let venue_id = violations.check("venue_id", VenueId::parse(&request.venue_id));
    let date = violations.check("date", parse_date(&request.date));
    let start_time = violations.check("start_time", parse_start_time(&request.start_time));
    let party_size = violations.check("party_size", PartySize::parse(request.party_size));
    let is_walk_in = request.source == WALK_IN;
    let contact = match request.contact {
        None if is_walk_in => Some(None),
        contact => decode_contact(contact, !is_walk_in, &mut violations).map(Some),
    };
    let conversation_id =
        violations.check_optional("conversation_id", given(request.conversation_id).map(ConversationId::parse));
    let special_requests =
        violations.check_optional("special_requests", given(request.special_requests).map(SpecialRequests::parse));
    if request.expected_total_cents.is_some_and(|cents| cents < 0) {
        violations.add("expected_total_cents", "must not be negative");
    }
    let source = violations.check_optional("source", given(request.source).map(|source| Source::parse(&source)));

    let area = violations.check_optional("area", given(request.area).map(|area| AreaKey::parse(&area)));

    let stripe_intent_id =
        violations.check_optional("stripe_intent_id", given(request.stripe_intent_id).map(StripeIntentId::parse));

    let texts = (special_requests, stripe_intent_id, source);
    let parsed = (key, venue_id, date, start_time, party_size, contact, conversation_id, texts, area);
    let (
        Some(key),
        Some(venue_id),
        Some(date),
        Some(start_time),
        Some(party_size),
        Some(contact),
        Some(conversation_id),
        (Some(special_requests), Some(stripe_intent_id), Some(source)),
        Some(area),
    ) = parsed
    else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok(NewBooking {
        key,
        slot: SlotKey { venue_id, date, start_time },
        party_size,
        contact,
        conversation_id,
        special_requests,
        stripe_intent_id,
        expected_total_cents: request.expected_total_cents,
        source,
        area,
        allows_duplicate: request.allow_duplicate,
        validate_only: request.validate_only,
    })
}

/// `needs_address`: an e-mail address or a telephone number is required.
pub(super) fn decode_contact(
    contact: Option<wire::Contact>,
    needs_address: bool,
    violations: &mut Violations,
) -> Option<Contact> {
    let contact = contact.unwrap_or_default();
    let name = violations.check("contact.name", Name::parse(&contact.name));
    let is_unreachable = needs_address && contact.email.is_empty() && contact.phone.is_empty();
    if is_unreachable {
        violations.add("contact.email", "is required unless contact.phone is given");
    }
    let email = violations.check_optional("contact.email", given(contact.email).map(|email| Email::parse(&email)));
    // `Bookings` reports a violation that depends on the venue's phone region.
    let phone = violations.check_optional("contact.phone", given(contact.phone).map(|phone| GivenPhone::parse(&phone)));
    if is_unreachable { None } else { Some(Contact { name: name?, email: email?, phone: phone? }) }
}
