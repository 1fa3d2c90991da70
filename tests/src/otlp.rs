//! An OTLP receiver of traces and metrics over gRPC or HTTP, which keeps them in memory.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request as HttpRequest, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::any_value::Value,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message as _;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::{
    Request, Status,
    codec::CompressionEncoding,
    transport::{Identity, Server, ServerTlsConfig},
};

/// A received span.
#[derive(Debug, Clone)]
pub struct Received {
    pub service: String,
    /// The resource attributes of the sending process.
    pub resource: BTreeMap<String, String>,
    /// The HTTP path of the request.
    pub path: String,
    /// The headers of the request.
    pub headers: HeaderMap,
    pub span: Span,
}

impl Received {
    /// The trace id, as in `traceparent`.
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// Whether the span is linked to a span of this trace.
    pub fn is_linked_to(&self, trace_id: &str) -> bool {
        self.span.links.iter().any(|link| hex(&link.trace_id) == trace_id)
    }
}

/// A received metric.
#[derive(Debug, Clone)]
pub struct ReceivedMetric {
    pub service: String,
    /// The resource attributes of the sending process.
    pub resource: BTreeMap<String, String>,
    /// The HTTP path of the request.
    pub path: String,
    /// The headers of the request.
    pub headers: HeaderMap,
    pub metric: Metric,
}

/// The transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Grpc,
    Http,
}

/// The certificate and key of a receiver, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

/// A running receiver. It ends when dropped.
pub struct Receiver {
    pub address: SocketAddr,
    kept: Kept,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Received>>>,
    metrics: Arc<Mutex<Vec<ReceivedMetric>>>,
}

impl Receiver {
    /// Starts a receiver on a free port, over gRPC without TLS.
    pub async fn start() -> Self {
        Self::start_as(Carrier::Grpc, None).await
    }

    /// Starts a receiver on a free port, with TLS if there is a certificate.
    pub async fn start_as(carrier: Carrier, certified: Option<&Certified>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let kept = Kept::default();
        let tasks = TaskTracker::new();
        let server = match carrier {
            Carrier::Grpc => tasks.spawn(serve_grpc(listener, kept.clone(), certified.map(Certified::tonic))),
            Carrier::Http => tasks.spawn(serve_http(listener, kept.clone(), certified.map(Certified::acceptor))),
        };
        Self { address, kept, _server: AbortOnDropHandle::new(server) }
    }

    /// The spans received so far.
    pub fn spans(&self) -> Vec<Received> {
        self.kept.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The metrics received so far, one for each export.
    pub fn metrics(&self) -> Vec<ReceivedMetric> {
        self.kept.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Certified {
    /// A self-signed certificate for 127.0.0.1.
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn tonic(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(&self.certificate, &self.key))
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("certificate and key belong together");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Certified {
    fn default() -> Self {
        Self::new()
    }
}

async fn serve_grpc(listener: TcpListener, kept: Kept, tls: Option<ServerTlsConfig>) {
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).expect("the certificate is valid");
    }
    let traces = TraceServiceServer::new(kept.clone()).accept_compressed(CompressionEncoding::Gzip);
    let metrics = MetricsServiceServer::new(kept).accept_compressed(CompressionEncoding::Gzip);
    let serving = server.add_service(traces).add_service(metrics);
    serving.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("the receiver serves");
}

async fn serve_http(listener: TcpListener, kept: Kept, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (kept, tls) = (kept.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => kept.serve(stream).await,
                // A client that does not trust the certificate disconnects.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        kept.serve(stream).await;
                    }
                }
            }
        });
    }
}

impl Kept {
    fn keep_spans(&self, path: &str, headers: &HeaderMap, request: ExportTraceServiceRequest) {
        let mut kept = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for received in request.resource_spans {
            let resource = texts(received.resource);
            let spans = received.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Received {
                service: resource.get("service.name").cloned().unwrap_or_default(),
                resource: resource.clone(),
                path: path.to_owned(),
                headers: headers.clone(),
                span,
            }));
        }
    }

    fn keep_metrics(&self, path: &str, headers: &HeaderMap, request: ExportMetricsServiceRequest) {
        let mut kept = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        for received in request.resource_metrics {
            let resource = texts(received.resource);
            let metrics = received.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            kept.extend(metrics.map(|metric| ReceivedMetric {
                service: resource.get("service.name").cloned().unwrap_or_default(),
                resource: resource.clone(),
                path: path.to_owned(),
                headers: headers.clone(),
                metric,
            }));
        }
    }

    /// Serves one connection.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.answer(request));
        // How the connection ends does not matter.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: HttpRequest<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_compressed = head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
        let mut message = Vec::new();
        if is_compressed {
            GzDecoder::new(&body[..]).read_to_end(&mut message).expect("the body is compressed");
        } else {
            message.extend_from_slice(&body);
        }
        let (path, message) = (head.uri.path(), &message[..]);
        let answer = if path.ends_with("metrics") {
            let request = ExportMetricsServiceRequest::decode(message).expect("the body is an OTLP message");
            self.keep_metrics(path, &head.headers, request);
            ExportMetricsServiceResponse::default().encode_to_vec()
        } else {
            let request = ExportTraceServiceRequest::decode(message).expect("the body is an OTLP message");
            self.keep_spans(path, &head.headers, request);
            ExportTraceServiceResponse::default().encode_to_vec()
        };
        let answer = Response::builder().header("content-type", "application/x-protobuf").body(Full::from(answer));
        Ok(answer.expect("a response"))
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.keep_spans("", &headers, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.keep_metrics("", &headers, request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// The attributes with string values.
fn texts(resource: Option<Resource>) -> BTreeMap<String, String> {
    let attributes = resource.unwrap_or_default().attributes.into_iter();
    let texts = attributes.filter_map(|attribute| match attribute.value?.value? {
        Value::StringValue(text) => Some((attribute.key, text)),
        _ => None,
    });
    texts.collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
