//! The layers of every gRPC call: span, authentication, reading of the message, permits, deadline, panic guard,
//! complete errors, and metrics. A call that is refused by its headers under overload has no span.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::{Status, body::Body, transport::server::TcpConnectInfo};
use tower::Service as _;
use tracing::{Instrument as _, Span, field};

use super::{
    answer::{Answer, CallState},
    arrive::{self, Arrival},
    call_permits::{Bounds, CallPermits},
    calls::Calls,
    complete_status::complete_status,
    connection::Connection,
    deadline::client_deadline,
    ending::Ending,
    metadata,
    methods::{Kind, Method},
    open_call::OpenCall,
    pools::{Holders, Resource},
    replay::Replay,
};
use crate::{
    audit::Record,
    identity::{Access, Refused},
    postgres,
    status::Failure,
    telemetry::{self, Trace},
};

/// Largest message of a call to health or reflection. Such messages contain only names.
pub const PROBE_MESSAGE_BYTES: usize = 4 * 1024;
/// Longest time of a reflection stream. Tools need much less.
const REFLECTION_TIME: Duration = Duration::from_mins(1);
/// An answer of up to this many bytes takes no permit for its bytes; the permit of its call bounds it.
const SMALL_ANSWER_BYTES: usize = 16 * 1024;

/// The calls of one connection.
#[derive(Clone)]
pub struct ConnectionCalls {
    pub calls: Arc<Calls>,
    pub connection: Arc<Connection>,
}

impl hyper::service::Service<Request<Incoming>> for ConnectionCalls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request).map(Ok))
    }
}

impl ConnectionCalls {
    fn answer(self, request: Request<Incoming>) -> impl Future<Output = Response<Answer>> {
        let method = self.calls.methods.get(request.uri().path());
        let budget = client_deadline(request.headers()).map_or(self.calls.timeout, |it| it.min(self.calls.timeout));
        let ends_at = Instant::now() + budget;
        // Under overload most calls end here, before they cost anything: they are counted, but have no span and no
        // line in the audit log. On an unauthenticated connection the caller is authenticated first.
        let may_be_refused = method.kind == Kind::Work && !self.connection.is_unauthenticated();
        let overloaded = if may_be_refused { self.calls.check_queues(method, budget).err() } else { None };
        let (span, trace, record) =
            if overloaded.is_some() { (Span::none(), None, None) } else { self.observe(method, &request) };
        let call = OpenCall::start(&self.calls.metrics, method.label, span.clone(), trace, &self.connection);
        async move {
            let mut state =
                CallState { call, permits: None, answer_bytes: None, record, caller: None, credential_ends_at: None };
            let response = match overloaded {
                None => self.respond(method, request, ends_at, &mut state).await,
                Some(error) => {
                    let arrives_by = Instant::now() + self.calls.arrival_timeout;
                    arrive::discard(request.into_body(), arrives_by.min(ends_at)).await;
                    Err(error.to_failure().into())
                }
            };
            let response = response.unwrap_or_else(Status::into_http);
            let (response, refusal) = complete_status(response);
            if refusal.is_none() && matches!(method.kind, Kind::Stream | Kind::ProbeStream) {
                let reflection_ends_at = method.takes_stream.then(|| Instant::now() + REFLECTION_TIME);
                let ends_at = reflection_ends_at.into_iter().chain(state.credential_ends_at).min();
                let closing = self.connection.closing.clone();
                state.write_audit(None, &[]).await;
                return Answer::new(response.map(|body| Ending::wrap(body, closing, ends_at)), Bytes::new(), state);
            }
            if response.extensions().get::<Replay>().is_some() {
                state.call.replay();
            }
            self.whole(response, refusal, state).await
        }
        .instrument(span)
    }

    /// Begins the span, the trace and the audit record of the call.
    fn observe(&self, method: Method, request: &Request<Incoming>) -> (Span, Option<Trace>, Option<Record>) {
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
        let trace = telemetry::trace_of(&span);
        if let Some(trace) = &trace {
            span.record("trace_id", &trace.id);
        }
        let record = self.calls.audit.as_ref().map(|audit| {
            let trace_id = trace.as_ref().map(|trace| trace.id.clone());
            audit.record(method.label, method.rule, self.connection.peer, trace_id)
        });
        (span, trace, record)
    }

    /// The answer of the service, or the failure that prevented the call.
    async fn respond(
        &self,
        method: Method,
        request: Request<Incoming>,
        ends_at: Instant,
        state: &mut CallState,
    ) -> Result<Response<Body>, Status> {
        if let Some(failure) = metadata::refusal(request.headers()) {
            return Err(failure.into());
        }
        let Calls { pools, .. } = &*self.calls;
        let holders = &self.admit(method, request.headers(), ends_at, state).await?;
        let (resource, message_bytes_max) = match method.kind {
            Kind::Work => (Resource::Work, self.calls.message_bytes_max),
            Kind::Stream => (Resource::Streams, self.calls.message_bytes_max),
            Kind::Probe => (Resource::Probes, PROBE_MESSAGE_BYTES),
            Kind::ProbeStream => (Resource::ProbeStreams, PROBE_MESSAGE_BYTES),
            Kind::Unknown => return Ok(self.run(request.map(|_| axum::body::Body::empty()), ends_at).await),
        };
        // The permit for the message's bytes is kept until the handler has returned.
        let (mut request, _message_bytes) = if method.takes_stream {
            (request.map(axum::body::Body::new), pools.empty(Resource::ArrivingBytes, holders))
        } else {
            let arrives_by = Instant::now() + self.calls.arrival_timeout;
            let arrival = Arrival { pools, holders, ends_at, arrives_by, message_bytes_max };
            let (request, message_bytes) = arrival.collect(request).await?;
            if let Some(record) = &mut state.record {
                record.requested(request.body());
            }
            (request.map(axum::body::Body::from), message_bytes)
        };
        if method.kind == Kind::Work {
            let left = ends_at.saturating_duration_since(Instant::now());
            self.calls.database.admit(left).map_err(|error| error.to_failure())?;
        }
        // A client that does not read its large answers gets no more of them.
        let is_probe = matches!(method.kind, Kind::Probe | Kind::ProbeStream);
        if !is_probe && !pools.has_room(Resource::AnswerBytes, holders, 1) {
            return Err(Failure::overloaded().into());
        }
        let permit = pools.take(resource, holders, 1).ok_or_else(|| Status::from(Failure::overloaded()))?;
        state.call.serve();
        let permits = Arc::new(CallPermits::new(pools, holders, permit));
        state.permits = Some(Arc::clone(&permits));
        let (closing, caller) = (self.connection.closing.clone(), state.caller.clone());
        request.extensions_mut().insert(Bounds { ends_at, closing, permits, caller });
        Ok(self.run(request, ends_at).await)
    }

    /// Authenticates and authorises the caller, and returns the holders of the call's permits. The message has not been
    /// read yet, so unauthenticated callers cannot make the server buffer data.
    async fn admit(
        &self,
        method: Method,
        headers: &HeaderMap,
        ends_at: Instant,
        state: &mut CallState,
    ) -> Result<Holders, Status> {
        let holders = Holders::of_connection(&self.connection.holder);
        let authenticator = &self.calls.authenticator;
        let roles = match method.rule.access {
            _ if authenticator.allows_anonymous_calls() => {
                state.call.may_be_exemplar();
                return Ok(holders);
            }
            Access::Anonymous => return Ok(holders),
            Access::Roles(roles) => roles,
        };
        let authenticated =
            timeout_at(ends_at, authenticator.authenticate(headers, self.connection.peer_certificate())).await;
        let authenticated = authenticated.map_err(|_| Status::from(Failure::deadline_exceeded()))?;
        let admitted = authenticated.and_then(|identity| {
            self.connection.authenticated();
            state.caller = Some(Arc::clone(&identity.name));
            state.credential_ends_at = identity.expires_at_seconds.map(instant_of);
            if let Some(record) = &mut state.record {
                record.called_by(&identity);
            }
            // Any authenticated caller may see that a method does not exist.
            if method.kind != Kind::Unknown {
                identity.may(method.rule.access)?;
            }
            state.call.may_be_exemplar();
            Ok(holders.and_identity(self.calls.shares.of(&identity)))
        });
        admitted.map_err(|refused| {
            authenticator.count(&refused);
            if matches!(refused, Refused::Missing | Refused::Invalid(_) | Refused::Expired) {
                self.connection.authentication_failed();
            }
            refused.to_failure(roles).into()
        })
    }

    /// The answer of the handler, or a failure: the deadline passed, the server stops, or the handler panicked.
    async fn run(&self, mut request: Request<axum::body::Body>, ends_at: Instant) -> Response<Body> {
        let peer = TcpConnectInfo { local_addr: None, remote_addr: Some(self.connection.peer) };
        request.extensions_mut().insert(peer);
        let mut routes = self.calls.routes.clone();
        let answer = AssertUnwindSafe(postgres::in_time(ends_at, async move { routes.call(request).await }));
        let answer = answer.catch_unwind();
        let failure = tokio::select! {
            answer = tokio::time::timeout_at(ends_at, answer) => match answer {
                Ok(Ok(Ok(response))) => return response,
                Ok(Err(_)) => {
                    tracing::error!("a handler panicked");
                    Failure::internal()
                }
                Err(_) => Failure::deadline_exceeded(),
            },
            () = self.calls.cut.cancelled() => Failure::draining(),
        };
        Status::from(failure).into_http()
    }

    /// The answer with its one message. The message is encoded here, so that its source data can be freed.
    async fn whole(&self, response: Response<Body>, refusal: Option<Status>, mut state: CallState) -> Response<Answer> {
        let (parts, mut body) = response.into_parts();
        let message = match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            None => Bytes::new(),
            Some(Ok(Ok(message))) => message,
            // The message could not be encoded. The body has only trailers with the error.
            Some(Ok(Err(frame))) => {
                let status = frame.trailers_ref().and_then(Status::from_header_map);
                return refuse(status.unwrap_or_else(|| Failure::internal().into()), &[], state).await;
            }
            Some(Err(status)) => return refuse(status, &[], state).await,
        };
        // A call whose work must not be lost has reserved room for its answer before the work. Any other answer is
        // dropped when there is no room: waiting for room would keep exactly those bytes in memory.
        let taken = state.permits.as_ref().and_then(|permits| permits.take_answer_room());
        if message.len() > SMALL_ANSWER_BYTES {
            let of_connection = || Holders::of_connection(&self.connection.holder);
            let holders = state.permits.as_ref().map_or_else(of_connection, |permits| permits.holders().clone());
            let permit = taken.filter(|room| room.count() >= message.len());
            let permit = permit.or_else(|| self.calls.pools.take(Resource::AnswerBytes, &holders, message.len()));
            let Some(mut permit) = permit else { return refuse(Failure::overloaded().into(), &message, state).await };
            permit.shrink(message.len());
            state.answer_bytes = Some(permit);
        }
        state.end(refusal.as_ref(), &message).await;
        Answer::new(Response::from_parts(parts, body), message, state)
    }
}

/// Replaces the answer's message by a failure.
async fn refuse(status: Status, message: &[u8], mut state: CallState) -> Response<Answer> {
    let (response, refusal) = complete_status(status.into_http());
    state.end(refusal.as_ref(), message).await;
    Answer::new(response, Bytes::new(), state)
}

/// The instant of a time in seconds since 1970, at most a year ahead: no stream lives that long.
fn instant_of(seconds: u64) -> Instant {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Instant::now() + Duration::from_secs(seconds).saturating_sub(now).min(YEAR)
}
