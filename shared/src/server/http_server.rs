//! The HTTP side: `/metrics`, `/livez`, `/readyz`, and what a service adds.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
    serve::Listener,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use prometheus::{Encoder as _, TextEncoder};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Readiness;

/// What a client may take to send the head of a request, or to ask again on a connection that it keeps. Proxies
/// keep theirs for a minute as a rule, and should not send on one that is just being closed.
pub const HEAD_TIME: Duration = Duration::from_secs(75);

/// The routes every service has.
pub fn routes(readiness: Readiness, registry: Option<prometheus::Registry>) -> Router {
    let router =
        Router::new().route("/livez", get(async || "alive\n")).route("/readyz", get(ready)).with_state(readiness);
    match registry {
        Some(registry) => router.merge(Router::new().route("/metrics", get(metrics)).with_state(registry)),
        None => router,
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let code = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", readiness.describe()))
}

async fn metrics(State(registry): State<prometheus::Registry>) -> impl IntoResponse {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Serves until `drain` is cancelled and the running requests have ended.
pub async fn serve(mut listener: TcpListener, routes: Router, head_time: Duration, drain: CancellationToken) {
    // axum's own server waits for ever for what a client does not send.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_time);
    let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
    while let Some((stream, _)) = drain.run_until_cancelled(Listener::accept(&mut listener)).await {
        while connections.try_join_next().is_some() {}
        let service = TowerToHyperService::new(routes.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            // How it ended is the client's affair.
            let _ = connection.await;
        });
    }
    // Who comes now goes elsewhere at once.
    drop(listener);
    graceful.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_finish_the_head_of_its_request_is_let_go_and_others_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let drain = CancellationToken::new();
        let routes = routes(Readiness::default(), None);
        let serving = serve(listener, routes, Duration::from_millis(100), drain.clone());
        let clients = async {
            let mut slow = TcpStream::connect(address).await.expect("connected");
            slow.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.expect("sent");
            let mut other = TcpStream::connect(address).await.expect("connected");
            other.write_all(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n").await.expect("sent");
            let mut answer = String::new();
            other.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.ends_with("alive\n"), "{answer}");
            // However it is told so.
            let _ = slow.read_to_end(&mut Vec::new()).await;
            drain.cancel();
        };
        let both = tokio::time::timeout(Duration::from_mins(1), async { tokio::join!(serving, clients) });
        both.await.expect("the slow one is let go, and the server ends");
    }
}
