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

use super::{complete_status::complete_status, ending::Ending, methods::Methods};
use crate::{
    status::{Failure, code_name},
    telemetry,
};

/// A client's deadline is met this much before it passes, or a tenth before when that is less: the
/// answer has to travel, and the library's own timer, which answers CANCELLED, must not come first.
const DEADLINE_MARGIN: Duration = Duration::from_millis(20);

/// How a server tells its calls that it stops.
#[derive(Clone, Default)]
pub struct Stop {
    /// Cancelled when no new calls are taken any more: streams end.
    pub drain: CancellationToken,
    /// Cancelled when the calls that still run must end.
    pub cut: CancellationToken,
}

/// How long a call may go on: in the extensions of every request, for calls that wait for something.
#[derive(Clone)]
pub struct Bounds {
    ends_at: tokio::time::Instant,
    drain: CancellationToken,
}

impl Bounds {
    /// When the call is answered for it, by its client's deadline or the cap.
    pub fn ends_at(&self) -> tokio::time::Instant {
        self.ends_at
    }

    /// Returns when the server takes no new calls any more: whoever waits stops waiting.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }
}

/// Wraps every call of a server; see the module.
#[derive(Clone)]
pub struct RequestLayer(Arc<Limits>);

struct Limits {
    timeout: Duration,
    methods: Methods,
    stop: Stop,
    in_flight: Semaphore,
    metrics: Metrics,
}

/// OpenTelemetry's names for RPC servers.
struct Metrics {
    duration_seconds: Histogram<f64>,
    in_flight: UpDownCounter<i64>,
}

impl RequestLayer {
    /// `timeout` caps every call; more than `max_in_flight` at once are answered OVERLOADED.
    pub fn new(timeout: Duration, max_in_flight: usize, stop: Stop) -> Self {
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
        let in_flight = Semaphore::new(max_in_flight);
        Self(Arc::new(Limits { timeout, methods: Methods::known(), stop, in_flight, metrics }))
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let limits = Arc::clone(&self.limits);
        let method = limits.methods.get(request.uri().path());
        let span = tracing::info_span!(
            target: telemetry::TRACE_TARGET,
            "rpc",
            otel.name = method.label,
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method.label,
            rpc.response.status_code = field::Empty,
            trace_id = field::Empty,
        );
        telemetry::adopt_parent(&span, request.headers());
        if let Some(trace_id) = telemetry::trace_id(&span) {
            span.record("trace_id", trace_id);
        }

        let budget = client_deadline(request.headers()).map_or(limits.timeout, |d| d.min(limits.timeout));
        let ends_at = tokio::time::Instant::now() + budget;
        request.extensions_mut().insert(Bounds { ends_at, drain: limits.stop.drain.clone() });
        let answer = self.inner.call(request);
        let call = async move {
            let counted = Counted::start(&limits.metrics, method.label);
            let permit = if method.is_probe { None } else { Some(limits.in_flight.try_acquire()) };
            let response = match permit {
                Some(Err(_)) => Status::from(Failure::overloaded()).into_http(),
                _ => guarded(budget, &limits.stop.cut, answer).await,
            };
            let (response, code) = complete_status(response);
            counted.end(code);
            if method.streams {
                return Ok(response.map(|body| Ending::at_drain(body, limits.stop.drain.clone())));
            }
            Ok(response)
        };
        Box::pin(call.instrument(span))
    }
}

/// A call that is counted as running until it ends, also when its caller goes away.
struct Counted<'a> {
    metrics: &'a Metrics,
    method: &'static str,
    started: Instant,
    ended: Option<Code>,
}

impl<'a> Counted<'a> {
    fn start(metrics: &'a Metrics, method: &'static str) -> Self {
        metrics.in_flight.add(1, &[]);
        Self { metrics, method, started: Instant::now(), ended: None }
    }

    fn end(mut self, code: Code) {
        self.ended = Some(code);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let code = self.ended.unwrap_or(Code::Cancelled);
        let span = Span::current();
        span.record("rpc.response.status_code", code_name(code));
        if is_server_fault(code) {
            span.record("otel.status_code", "ERROR");
        }
        self.metrics.in_flight.add(-1, &[]);
        self.metrics.duration_seconds.record(
            self.started.elapsed().as_secs_f64(),
            &[
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", self.method),
                KeyValue::new("rpc.response.status_code", code_name(code)),
            ],
        );
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
