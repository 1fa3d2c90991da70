//! A call in metrics and traces: from its first byte until the last byte of its answer is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Instant,
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Histogram, UpDownCounter},
};
use tonic::Code;
use tracing::Span;

use super::connection::{Connection, InUse};
use crate::status::code_name;

/// No code of gRPC's.
const NOT_ENDED: i32 = -1;

/// OpenTelemetry's names for RPC servers.
#[derive(Clone)]
pub struct CallMetrics {
    duration_seconds: Histogram<f64>,
    active: UpDownCounter<i64>,
}

impl CallMetrics {
    pub fn new() -> Self {
        let meter = global::meter("teppan");
        Self {
            duration_seconds: meter
                .f64_histogram("rpc.server.call.duration")
                .with_unit("s")
                .with_description("How long calls take, until their answers are sent.")
                .with_boundaries(vec![
                    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ])
                .build(),
            active: meter
                .i64_up_down_counter("rpc.server.active_requests")
                .with_description("Calls that are open: arriving, being worked on, waiting, or sending their answer.")
                .build(),
        }
    }
}

/// An open call. It is counted until this is dropped, also when its caller disconnects.
pub struct OpenCall {
    metrics: CallMetrics,
    method: &'static str,
    span: Span,
    started: Instant,
    code: AtomicI32,
    connection: InUse,
}

impl OpenCall {
    pub fn start(metrics: &CallMetrics, method: &'static str, span: Span, connection: &Arc<Connection>) -> Self {
        metrics.active.add(1, &[]);
        Self {
            metrics: metrics.clone(),
            method,
            span,
            started: Instant::now(),
            code: AtomicI32::new(NOT_ENDED),
            connection: InUse::new(connection),
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        self.connection.connection()
    }

    /// The whole message of the call is there.
    pub fn serve(&self) {
        self.connection.serve();
    }

    /// Records the status of the call. A call without one was cancelled by its caller.
    pub fn end(&self, code: Code) {
        self.code.store(code.into(), Relaxed);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let code = match self.code.load(Relaxed) {
            NOT_ENDED => Code::Cancelled,
            code => Code::from(code),
        };
        self.span.record("rpc.response.status_code", code_name(code));
        if is_server_fault(code) {
            self.span.record("otel.status_code", "ERROR");
        }
        self.metrics.active.add(-1, &[]);
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
