use teppan_shared::{
    contract::booking::v1 as wire,
    outbox::{EVENT_TYPE_MUST, is_event_type},
    status::Violations,
    wire::{given, timestamp},
};
use tonic::Status;

use crate::{
    bookings::event_data::EVENT_SOURCE,
    domain::{BookingId, VenueId},
    event_stream::event::BookingEvent,
    event_stream::stream::{Begin, Cursor, EventFilter, Step, StreamRequest},
};

const SPEC_VERSION: &str = "1.0";
const TYPES_MAX: usize = 20;

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::StreamBookingEventsRequest) -> Result<StreamRequest, Status> {
    let mut violations = Violations::default();
    let after = violations.check("after", Cursor::decode(&request.after));
    let start = match request.start() {
        wire::StreamStart::Newest => Begin::Newest,
        wire::StreamStart::Unspecified | wire::StreamStart::Oldest => Begin::Oldest,
    };
    if wire::StreamStart::try_from(request.start).is_err() {
        violations.add("start", "must be a StreamStart");
    }
    let venue_id = violations.check_optional("venue_id", given(request.venue_id).map(|id| VenueId::parse(&id)));
    let booking_id = violations.check_optional("booking_id", given(request.booking_id).map(|id| BookingId::parse(&id)));
    if request.types.len() > TYPES_MAX {
        violations.add("types", format!("must be at most {TYPES_MAX}"));
    }
    for (index, kind) in request.types.iter().enumerate().take(TYPES_MAX) {
        if !is_event_type(kind) {
            violations.add(format!("types[{index}]"), EVENT_TYPE_MUST);
        }
    }
    let (Some(after), Some(venue_id), Some(booking_id)) = (after, venue_id, booking_id) else {
        return Err(violations.into_status());
    };
    violations.finish()?;
    Ok(StreamRequest {
        begin: after.map_or(start, Begin::After),
        follow: request.follow,
        filter: EventFilter { venue_id, booking_id, types: request.types },
    })
}

/// An event whose type this version does not know is sent without data: a newer replica may have written it.
pub fn encode(step: Step) -> wire::StreamBookingEventsResponse {
    wire::StreamBookingEventsResponse { event: step.event.map(event), cursor: step.cursor.encode() }
}

fn event(event: BookingEvent) -> wire::BookingEvent {
    wire::BookingEvent {
        id: event.id.to_string(),
        source: EVENT_SOURCE.to_owned(),
        specversion: SPEC_VERSION.to_owned(),
        r#type: event.kind,
        subject: event.booking_id.to_string(),
        time: Some(timestamp(event.occurred_at)),
        traceparent: event.traceparent.unwrap_or_default(),
        venue_id: event.venue_id,
        booking_version: event.version,
        previous_hash: event.previous_hash,
        hash: event.hash,
        data: event.data,
    }
}
