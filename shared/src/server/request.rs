//! What every gRPC call passes on its way in and out: a span, the load limit, the deadline, the
//! panic guard, complete errors, and metrics.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use http::{HeaderMap, Request, Response};
use opentelemetry::{
    KeyValue, global,
    metrics::{Histogram, UpDownCounter},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field};

use super::complete_status::complete_status;
use crate::{status::Failure, telemetry};

/// A client's deadline is met this much before it passes, or a tenth before when that is less: the
/// answer has to travel, and the library's own timer, which answers CANCELLED, must not come first.
const DEADLINE_MARGIN: Duration = Duration::from_millis(20);

/// Wraps every call of a server; see the module.
#[derive(Clone)]
pub struct RequestLayer(Arc<Limits>);

struct Limits {
    timeout: Duration,
    /// Cancelled when calls that still run must end.
    cut: CancellationToken,
    in_flight: Semaphore,
    metrics: Metrics,
}

/// OpenTelemetry's names for RPC servers.
struct Metrics {
    duration_seconds: Histogram<f64>,
    in_flight: UpDownCounter<i64>,
}

impl RequestLayer {
    /// `timeout` caps every call; more than `max_in_flight` at once are answered OVERLOADED; those
    /// that run when `cut` is cancelled are answered DRAINING.
    pub fn new(timeout: Duration, max_in_flight: usize, cut: CancellationToken) -> Self {
        let meter = global::meter("teppan");
        let metrics = Metrics {
            duration_seconds: meter
                .f64_histogram("rpc.server.call.duration")
                .with_unit("s")
                .with_description("How long calls take.")
                .with_boundaries(vec![
                    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ])
                .build(),
            in_flight: meter
                .i64_up_down_counter("rpc.server.active_requests")
                .with_description("Calls that are being worked on.")
                .build(),
        };
        Self(Arc::new(Limits { timeout, cut, in_flight: Semaphore::new(max_in_flight), metrics }))
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService { inner, limits: Arc::clone(&self.0) }
    }
}

/// The service [`RequestLayer`] makes.
#[derive(Clone)]
pub struct RequestService<S> {
    inner: S,
    limits: Arc<Limits>,
}

impl<S> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limits = Arc::clone(&self.limits);
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let span = tracing::info_span!(
            target: telemetry::TRACE_TARGET,
            "rpc",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = field::Empty,
            trace_id = field::Empty,
        );
        telemetry::adopt_parent(&span, request.headers());
        if let Some(trace_id) = telemetry::trace_id(&span) {
            span.record("trace_id", trace_id);
        }

        let budget = client_deadline(request.headers()).map_or(limits.timeout, |d| d.min(limits.timeout));
        let started = Instant::now();
        let answer = self.inner.call(request);
        let call = async move {
            limits.metrics.in_flight.add(1, &[]);
            let response = match limits.in_flight.try_acquire() {
                Err(_) => Status::from(Failure::overloaded()).into_http(),
                Ok(_permit) => guarded(budget, &limits.cut, answer).await,
            };
            let (response, code) = complete_status(response);
            limits.metrics.in_flight.add(-1, &[]);
            record(&limits.metrics, method, code, started.elapsed());
            Ok(response)
        };
        Box::pin(call.instrument(span))
    }
}

/// The answer, or why there is none: the time was up, the server stops, or the handler panicked.
async fn guarded(
    budget: Duration,
    cut: &CancellationToken,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Response<Body> {
    let answer = tokio::time::timeout(budget, AssertUnwindSafe(answer).catch_unwind());
    let failure = tokio::select! {
        answer = answer => match answer {
            Ok(Ok(Ok(response))) => return response,
            Ok(Err(_)) => {
                tracing::error!("a handler panicked");
                Failure::internal()
            }
            Err(_) => Failure::deadline_exceeded(),
        },
        () = cut.cancelled() => Failure::draining(),
    };
    Status::from(failure).into_http()
}

/// How long the client will wait, from `grpc-timeout`, less the margin.
fn client_deadline(headers: &HeaderMap) -> Option<Duration> {
    let raw = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = raw.split_at_checked(raw.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None; // the gRPC specification allows eight digits
    }
    let value: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    };
    Some(timeout.saturating_sub(DEADLINE_MARGIN.min(timeout / 10)))
}

fn record(metrics: &Metrics, method: String, code: Code, took: Duration) {
    let span = Span::current();
    span.record("rpc.response.status_code", code_name(code));
    if is_server_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
    // An unknown path is the caller's choice: it must not become a label of its own.
    let method = if code == Code::Unimplemented { "_OTHER".to_owned() } else { method };
    metrics.duration_seconds.record(
        took.as_secs_f64(),
        &[
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.response.status_code", code_name(code)),
        ],
    );
}

/// The codes that OpenTelemetry's conventions count as a server's errors.
fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(raw: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", raw.parse().expect("a header value"));
        client_deadline(&headers)
    }

    #[test]
    fn a_clients_deadline_is_met_a_little_early() {
        assert_eq!(deadline("100m"), Some(Duration::from_millis(90)));
        assert_eq!(deadline("2S"), Some(Duration::from_millis(1980)));
        assert_eq!(deadline("99999999H"), Some(Duration::from_hours(99_999_999).saturating_sub(DEADLINE_MARGIN)));
    }

    #[test]
    fn a_deadline_that_cannot_be_read_is_none() {
        for raw in ["", "m", "5", "5x", "-5m", "123456789m", "1.5S"] {
            assert_eq!(deadline(raw), None, "{raw:?}");
        }
    }
}
