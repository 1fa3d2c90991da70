//! The HTTP servers: `/metrics`, `/livez`, `/readyz`, and the routes of a service.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode, header},
    middleware::{self, Next},
    response::IntoResponse,
    routing::get,
};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    Readiness,
    connection::{Connection, InUse},
    handshake::Handshake,
    unverified::{UnverifiedBodies, UnverifiedPool},
};
use crate::telemetry::exposition::Format;

/// How long a client may take to send the head of a request; also the keep-alive timeout. It must exceed the 60 s for
/// which proxies keep a connection, so that they do not send on a connection that is being closed.
pub const HEAD_TIME: Duration = Duration::from_secs(75);
/// When a client can repeat a request that a draining service refused: another replica answers it.
const RETRY_AFTER_S: &str = "1";
/// The bytes of a request that are buffered: its head and the beginning of its body.
const BUFFER_BYTES: usize = 16 * 1024;

/// The routes that every service has.
pub fn routes(readiness: Readiness, registry: Option<prometheus::Registry>) -> Router {
    let router =
        Router::new().route("/livez", get(async || "alive\n")).route("/readyz", get(ready)).with_state(readiness);
    match registry {
        Some(registry) => router.merge(Router::new().route("/metrics", get(metrics)).with_state(registry)),
        None => router,
    }
}

/// These routes; they answer 503 with Retry-After after `drain` is cancelled.
pub fn refused_from(drain: CancellationToken, routes: Router) -> Router {
    let refuse = async |State(drain): State<CancellationToken>, request: axum::extract::Request, next: Next| {
        if drain.is_cancelled() {
            let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_S)];
            return (StatusCode::SERVICE_UNAVAILABLE, retry_after, "draining\n").into_response();
        }
        next.run(request).await
    };
    routes.layer(middleware::from_fn_with_state(drain, refuse))
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let code = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", readiness.describe()))
}

async fn metrics(State(registry): State<prometheus::Registry>, headers: HeaderMap) -> impl IntoResponse {
    let accepted: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    let format = Format::accepted(&accepted.join(","));
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, header::ACCEPT.as_str())];
    (headers, format.write(&registry.gather()))
}

/// Serves the HTTP connections of a server.
pub struct HttpServer {
    pub routes: Router,
    pub handshake: Handshake,
    pub head_time: Duration,
    pub bodies: Arc<UnverifiedPool>,
}

impl HttpServer {
    /// Serves a connection until it ends.
    pub async fn serve(&self, stream: TcpStream, connection: Arc<Connection>) {
        let Some(transport) = self.handshake.run(stream, &connection).await else { return };
        let service = service_fn(|mut request: Request<Incoming>| {
            let in_use = Arc::new(InUse::new(&connection));
            if request.body().is_end_stream() {
                in_use.serve();
            }
            request.extensions_mut().insert(UnverifiedBodies::new(&self.bodies, &in_use));
            let answer = self.routes.clone().oneshot(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(in_use);
                answer
            }
        });
        // axum's own server has no timeout for reading a request.
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.head_time).max_buf_size(BUFFER_BYTES);
        let mut http = pin!(http.serve_connection(TokioIo::new(transport), service));
        let mut closing = false;
        loop {
            tokio::select! {
                // An error here is the client's fault: it broke the connection or the protocol.
                _ = &mut http => return,
                () = connection.evicted.cancelled() => return,
                () = connection.closing.cancelled(), if !closing => {
                    if connection.idle_for().is_some() {
                        // No request is running. An incomplete request head is not awaited.
                        return;
                    }
                    closing = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::{
        super::{accept::Connections, handshake::Protocol},
        *,
    };

    #[tokio::test]
    async fn a_client_that_does_not_finish_the_head_of_its_request_is_disconnected_and_others_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let drain = CancellationToken::new();
        let server = Arc::new(HttpServer {
            routes: routes(Readiness::default(), None),
            handshake: Handshake::new(Protocol::Http, None, Duration::from_secs(10), Duration::from_secs(10)),
            head_time: Duration::from_millis(100),
            bodies: Arc::default(),
        });
        let serving = Connections::new("http", 8, drain.clone()).serve(listener, move |stream, connection| {
            let server = Arc::clone(&server);
            async move { server.serve(stream, connection).await }
        });
        let clients = async {
            let mut slow = TcpStream::connect(address).await.expect("connected");
            slow.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.expect("sent");
            let mut other = TcpStream::connect(address).await.expect("connected");
            other.write_all(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n").await.expect("sent");
            let mut answer = String::new();
            other.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.ends_with("alive\n"), "{answer}");
            // The connection may end in an answer or in an error.
            let _ = slow.read_to_end(&mut Vec::new()).await;
            drain.cancel();
        };
        let both = tokio::time::timeout(Duration::from_mins(1), async { tokio::join!(serving, clients) });
        both.await.expect("the slow client is disconnected, and the server ends");
    }
}
