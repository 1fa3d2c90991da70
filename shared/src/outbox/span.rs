//! The trace span of a delivery.

use tracing::{Span, field};

use super::{Message, Undelivered};
use crate::telemetry::{self, TRACE_TARGET};

/// Begins a span in the trace of the call that wrote the message, however long ago that was.
pub(super) fn begin(message: &Message, destination: &'static str) -> Span {
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        parent: None,
        "deliver",
        otel.name = format!("deliver to {destination}"),
        otel.kind = "producer",
        otel.status_code = field::Empty,
        error.type = field::Empty,
        event.id = %message.event_id,
        event.type = message.event_type,
        attempt = message.attempts,
    );
    if let Some(traceparent) = &message.traceparent {
        telemetry::continue_from(&span, traceparent);
    }
    span
}

/// Adds the result.
pub(super) fn end(span: &Span, result: &Result<(), Undelivered>) {
    if let Err(undelivered) = result {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", undelivered.reason());
    }
}
