//! What a trace shows of a delivery.

use teppan_shared::telemetry::{self, TRACE_TARGET};
use tracing::{Span, field};

use crate::domain::{OutboxDestination, OutboxMessage, Undelivered};

/// The delivery in the trace of the call that led to it, however long ago that was.
pub fn span(message: &OutboxMessage, destination: OutboxDestination) -> Span {
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        parent: None,
        "deliver",
        otel.name = format!("deliver to {}", destination),
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

/// How it ended.
pub fn conclude(span: &Span, result: &Result<(), Undelivered>) {
    if let Err(undelivered) = result {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", undelivered.reason());
    }
}
