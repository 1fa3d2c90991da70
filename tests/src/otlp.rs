//! A receiver of traces, as a collector has one: OTLP over gRPC or HTTP, kept in memory.

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
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
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

/// A span that was received, and from which service.
#[derive(Debug, Clone)]
pub struct Received {
    pub service: String,
    /// What describes the process it came from.
    pub resource: BTreeMap<String, String>,
    /// The path of the request it came with, over HTTP.
    pub path: String,
    /// The headers of that request.
    pub headers: HeaderMap,
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

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Grpc,
    Http,
}

/// Certificate and key of a receiver, in PEM.
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

/// A running receiver. It ends when this is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    received: Spans,
    _server: AbortOnDropHandle<()>,
}

type Spans = Arc<Mutex<Vec<Received>>>;

impl Receiver {
    /// Starts one on a free port, over gRPC and not encrypted.
    pub async fn start() -> Self {
        Self::start_as(Carrier::Grpc, None).await
    }

    /// Starts one on a free port, encrypted where it is to show a certificate.
    pub async fn start_as(carrier: Carrier, certified: Option<&Certified>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Spans::default();
        let keep = Keep(Arc::clone(&received));
        let tasks = TaskTracker::new();
        let server = match carrier {
            Carrier::Grpc => tasks.spawn(serve_grpc(listener, keep, certified.map(Certified::tonic))),
            Carrier::Http => tasks.spawn(serve_http(listener, keep, certified.map(Certified::acceptor))),
        };
        Self { address, received, _server: AbortOnDropHandle::new(server) }
    }

    /// What it received so far.
    pub fn spans(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Certified {
    /// For 127.0.0.1, signed by itself.
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
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they belong together");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Certified {
    fn default() -> Self {
        Self::new()
    }
}

async fn serve_grpc(listener: TcpListener, keep: Keep, tls: Option<ServerTlsConfig>) {
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).expect("the certificate can be shown");
    }
    let service = TraceServiceServer::new(keep).accept_compressed(CompressionEncoding::Gzip);
    let serving = server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
    serving.await.expect("the receiver serves");
}

async fn serve_http(listener: TcpListener, keep: Keep, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (keep, tls) = (keep.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => keep.serve(stream).await,
                // Who does not trust the certificate goes away.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        keep.serve(stream).await;
                    }
                }
            }
        });
    }
}

#[derive(Clone)]
struct Keep(Spans);

impl Keep {
    fn keep(&self, path: &str, headers: &HeaderMap, request: ExportTraceServiceRequest) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for received in request.resource_spans {
            let attributes = received.resource.unwrap_or_default().attributes;
            let texts = attributes.into_iter().filter_map(|attribute| match attribute.value?.value? {
                Value::StringValue(text) => Some((attribute.key, text)),
                _ => None,
            });
            let resource: BTreeMap<_, _> = texts.collect();
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

    /// Serves one connection.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.answer(request));
        // How it ends is the client's affair.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: HttpRequest<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let is_compressed = head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip");
        let mut message = Vec::new();
        if is_compressed {
            GzDecoder::new(&body[..]).read_to_end(&mut message).expect("it is compressed as it says");
        } else {
            message.extend_from_slice(&body);
        }
        let request = ExportTraceServiceRequest::decode(&message[..]).expect("it is a message of OTLP");
        self.keep(head.uri.path(), &head.headers, request);
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let answer = Response::builder().header("content-type", "application/x-protobuf").body(Full::from(answer));
        Ok(answer.expect("a response"))
    }
}

#[tonic::async_trait]
impl TraceService for Keep {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        self.keep("", &headers, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
