//! The metrics and the trace of a call, from its first byte until the last byte of its answer is sent.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, UpDownCounter},
};
use tonic::{Code, Status};
use tracing::Span;

use super::connection::{Connection, InUse};
use crate::{
    status::{self, code_name},
    telemetry::{
        Trace, buckets,
        exemplars::{self, Exemplar},
    },
};

/// Not a gRPC code: the call has not ended.
const NOT_ENDED: i32 = -1;

/// The metrics of calls. The duration has OpenTelemetry's name for RPC servers.
#[derive(Clone)]
pub struct CallMetrics {
    duration_seconds: Histogram<f64>,
    active: UpDownCounter<i64>,
    refusals: Counter<u64>,
    replays: Counter<u64>,
}

impl CallMetrics {
    pub fn new() -> Self {
        let meter = global::meter("teppan");
        Self {
            duration_seconds: meter
                .f64_histogram("rpc.server.call.duration")
                .with_unit("s")
                .with_description("How long calls take, until their answers are sent.")
                .with_boundaries(buckets::CALLS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter("teppan.server.active_calls")
                .with_description("Calls that are open: arriving, being worked on, waiting, or sending their answer.")
                .build(),
            refusals: meter
                .u64_counter("teppan.server.refusals")
                .with_description("Calls that were answered with an error, by its reason.")
                .build(),
            replays: meter
                .u64_counter("teppan.server.replays")
                .with_description("Calls that were answered from an earlier call with the same key or id.")
                .build(),
        }
    }
}

/// An open call. It counts until it is dropped, also when its caller disconnects.
pub struct OpenCall {
    metrics: CallMetrics,
    method: &'static str,
    /// `None` unless the trace is recorded: the log has no line after the call, and recording a field costs its
    /// formatter much.
    recorded: Option<Span>,
    /// The trace that an exemplar of this call refers to.
    trace: Option<Trace>,
    may_be_exemplar: bool,
    started: Instant,
    code: AtomicI32,
    /// The reason of its `ErrorInfo`. Reasons are constants of the program.
    refusal: OnceLock<String>,
    is_replay: AtomicBool,
    connection: InUse,
}

impl OpenCall {
    pub fn start(
        metrics: &CallMetrics,
        method: &'static str,
        span: Span,
        trace: Option<Trace>,
        connection: &Arc<Connection>,
    ) -> Self {
        metrics.active.add(1, &[]);
        Self {
            metrics: metrics.clone(),
            method,
            recorded: trace.as_ref().filter(|trace| trace.is_recorded).map(|_| span),
            trace: trace.filter(|trace| trace.is_recorded && exemplars::OF_CALLS.is_enabled()),
            may_be_exemplar: false,
            started: Instant::now(),
            code: AtomicI32::new(NOT_ENDED),
            refusal: OnceLock::new(),
            is_replay: AtomicBool::new(false),
            connection: InUse::new(connection),
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        self.connection.connection()
    }

    /// Marks the call as authorised. Other calls become no exemplars, so that they do not choose the traces that
    /// operators see.
    pub fn may_be_exemplar(&mut self) {
        self.may_be_exemplar = true;
    }

    /// Marks the message of the call as complete.
    pub fn serve(&self) {
        self.connection.serve();
    }

    /// Marks the call as successful. A call that is neither successful nor refused was cancelled by its caller.
    pub fn succeed(&self) {
        self.code.store(Code::Ok.into(), Relaxed);
    }

    /// Marks the call as answered with this error.
    pub fn refuse(&self, status: &Status) {
        self.code.store(status.code().into(), Relaxed);
        let _ = self.refusal.set(status::reason(status));
    }

    /// Marks the call as answered from an earlier one.
    pub fn replay(&self) {
        self.is_replay.store(true, Relaxed);
    }

    fn record(&mut self, code: Code) {
        let (took, code_name) = (self.started.elapsed().as_secs_f64(), code_name(code));
        let method = KeyValue::new("rpc.method", self.method);
        let attributes = [
            KeyValue::new("rpc.system.name", "grpc"),
            method.clone(),
            KeyValue::new("rpc.response.status_code", code_name),
            KeyValue::new("error.type", code_name),
        ];
        let attributes = if is_server_fault(code) { &attributes[..] } else { &attributes[..3] };
        self.metrics.duration_seconds.record(took, attributes);
        if let Some(trace) = self.trace.take().filter(|_| self.may_be_exemplar) {
            let exemplar = Exemplar { trace_id: trace.id, seconds: took, at: SystemTime::now() };
            exemplars::OF_CALLS.record(self.method, code_name, exemplar);
        }
        if code == Code::Ok {
            if self.is_replay.load(Relaxed) {
                self.metrics.replays.add(1, &[method]);
            }
        } else {
            let reason = self.refusal.get().map_or(code_name, String::as_str).to_owned();
            self.metrics.refusals.add(1, &[method, KeyValue::new("reason", reason)]);
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let code = match self.code.load(Relaxed) {
            NOT_ENDED => Code::Cancelled,
            code => Code::from(code),
        };
        if let Some(span) = &self.recorded {
            span.record("rpc.response.status_code", code_name(code));
            if is_server_fault(code) {
                span.record("otel.status_code", "ERROR");
            }
        }
        self.metrics.active.add(-1, &[]);
        self.record(code);
    }
}

/// The codes that OpenTelemetry's conventions count as server errors.
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
