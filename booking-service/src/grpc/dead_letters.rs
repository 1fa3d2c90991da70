use teppan_shared::{
    contract::booking::v1 as wire,
    outbox::{
        DeadLetter, DeadLetterCursor, DeadLetterPage, DeadLetterSelection, EVENT_TYPE_MUST, PAGE_SIZES, decode_ids,
        decode_token, is_event_type,
    },
    page,
    status::Violations,
    wire::{given, timestamp},
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    domain::{BookingId, OutboxDestination},
    outbox::dead_letters::DeadLetterFilter,
    outbox::get_status::DestinationStatus,
};

/// A page of dead letters that is asked for.
pub struct Page {
    pub filter: DeadLetterFilter,
    pub after: Option<DeadLetterCursor>,
    pub size: u16,
}

/// Reads the request, or lists everything that is wrong with it.
pub fn decode_list(request: wire::ListDeadLettersRequest) -> Result<Page, Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", PAGE_SIZES.parse(request.page_size));
    let destination = request.destination;
    let filter = decode_filter("", destination, request.event_type, request.booking_id, &mut violations);
    let after = filter
        .as_ref()
        .and_then(|filter| violations.check("page_token", decode_token(&token_filters(filter), &request.page_token)));
    let (Some(size), Some(filter), Some(after)) = (size, filter, after) else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok(Page { filter, after, size })
}

/// Reads which dead letters a call is about, or lists everything that is wrong with it.
pub fn decode_selection(
    selection: Option<wire::DeadLetterSelection>,
) -> Result<DeadLetterSelection<DeadLetterFilter>, Status> {
    let mut violations = Violations::default();
    let wire::DeadLetterSelection { dead_letter_ids: raw, all, destination, event_type, booking_id } =
        selection.unwrap_or_default();
    let is_filtered = destination != 0 || !event_type.is_empty() || !booking_id.is_empty();
    let ids = decode_ids(&raw, all, is_filtered, "destination, event_type and booking_id", &mut violations);
    let filter = decode_filter("selection.", destination, event_type, booking_id, &mut violations);
    violations.finish()?;
    Ok(match filter {
        Some(filter) if all => DeadLetterSelection::All(filter),
        _ => DeadLetterSelection::Ids(ids),
    })
}

fn decode_filter(
    path: &str,
    destination: i32,
    event_type: String,
    booking_id: String,
    violations: &mut Violations,
) -> Option<DeadLetterFilter> {
    let destination = match wire::OutboxDestination::try_from(destination) {
        Ok(wire::OutboxDestination::Unspecified) => Some(None),
        Ok(wire::OutboxDestination::ConversationService) => Some(Some(OutboxDestination::ConversationService)),
        Ok(wire::OutboxDestination::EventStream) => Some(Some(OutboxDestination::EventStream)),
        Err(_) => {
            violations.add(format!("{path}destination"), "must be an OutboxDestination");
            None
        }
    };
    let event_type = given(event_type).map(|kind| if is_event_type(&kind) { Ok(kind) } else { Err(EVENT_TYPE_MUST) });
    let event_type = violations.check_optional(&format!("{path}event_type"), event_type);
    let booking_id = given(booking_id).map(|id| BookingId::parse(&id));
    let booking_id = violations.check_optional(&format!("{path}booking_id"), booking_id);
    Some(DeadLetterFilter { destination: destination?, event_type: event_type?, booking_id: booking_id? })
}

/// What a page token is made for.
fn token_filters(filter: &DeadLetterFilter) -> (Option<&str>, Option<&str>, Option<Uuid>) {
    let destination = filter.destination.map(OutboxDestination::as_str);
    (destination, filter.event_type.as_deref(), filter.booking_id.map(|id| id.0))
}

pub fn encode_list(page: &Page, found: DeadLetterPage) -> wire::ListDeadLettersResponse {
    let next = found.next.map(|cursor| page::encode_token(&token_filters(&page.filter), &cursor));
    wire::ListDeadLettersResponse {
        dead_letters: found.dead_letters.into_iter().map(dead_letter).collect(),
        next_page_token: next.unwrap_or_default(),
    }
}

fn dead_letter(dead: DeadLetter) -> wire::DeadLetter {
    wire::DeadLetter {
        dead_letter_id: dead.id.to_string(),
        event_id: dead.event_id.to_string(),
        event_type: dead.event_type,
        destination: OutboxDestination::from_column(&dead.destination).map_or(0, |it| destination(it).into()),
        booking_id: dead.owner,
        attempts: dead.attempts,
        last_error_reason: dead.last_error_reason,
        created_at: Some(timestamp(dead.created_at)),
        dead_at: Some(timestamp(dead.dead_at)),
        traceparent: dead.traceparent.unwrap_or_default(),
    }
}

pub fn encode_status(status: &DestinationStatus) -> wire::OutboxDestinationStatus {
    wire::OutboxDestinationStatus {
        destination: destination(status.destination).into(),
        pending_count: status.pending,
        leased_count: status.leased,
        dead_letter_count: status.dead,
        oldest_pending_at: status.oldest_at.map(timestamp),
        lag_seconds: status.lag.num_seconds(),
        last_delivered_at: status.last_delivered_at.map(timestamp),
    }
}

fn destination(destination: OutboxDestination) -> wire::OutboxDestination {
    match destination {
        OutboxDestination::ConversationService => wire::OutboxDestination::ConversationService,
        OutboxDestination::EventStream => wire::OutboxDestination::EventStream,
    }
}
