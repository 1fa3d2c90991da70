//! A receiver of traces, as a collector has one: OTLP over gRPC, kept in memory.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::{Request, Response, Status, transport::Server};

/// A span that was received, and from which service.
#[derive(Debug, Clone)]
pub struct Received {
    pub service: String,
    pub span: Span,
}

impl Received {
    /// The id of its trace, as `traceparent` has it.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// Whether it is linked to a span of this trace.
    pub fn is_linked_to(&self, trace_id: &str) -> bool {
        self.span.links.iter().any(|link| hex(&link.trace_id) == trace_id)
    }
}

/// A running receiver. It ends when this is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    received: Spans,
    _server: AbortOnDropHandle<()>,
}

type Spans = Arc<Mutex<Vec<Received>>>;

impl Receiver {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Spans::default();
        let service = TraceServiceServer::new(Keep(Arc::clone(&received)));
        let server = TaskTracker::new().spawn(async move {
            let served = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
            served.await.expect("the receiver serves");
        });
        Self { address, received, _server: AbortOnDropHandle::new(server) }
    }

    /// What it received so far.
    pub fn spans(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Keep(Spans);

#[tonic::async_trait]
impl TraceService for Keep {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let service = match name.and_then(|name| name.value).and_then(|value| value.value) {
                Some(Value::StringValue(name)) => name,
                _ => String::new(),
            };
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Received { service: service.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
