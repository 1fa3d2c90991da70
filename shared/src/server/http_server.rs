//! The HTTP side: `/metrics`, `/livez`, `/readyz`, and what a service adds.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus::{Encoder as _, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Readiness;

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
pub async fn serve(listener: TcpListener, routes: Router, drain: CancellationToken) {
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(drain.cancelled_owned()).await {
        tracing::error!(%error, "the HTTP server failed");
    }
}
