//! Serves the HTTP/2 connections of gRPC, from their preface to their renewal by GOAWAY.

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use futures::poll;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::Rng as _;
use tokio::{
    net::TcpStream,
    time::{Instant, interval_at, sleep, sleep_until},
};

use super::{
    buffered_stream::BufferedStream, calls::Calls, connection::Connection, handshake::Handshake,
    metadata::READ_BYTES_MAX, request::ConnectionCalls, streams::Streams,
};
use crate::config::ServerSettings;

/// The most bytes of an answer that the transport buffers for each call.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The HTTP/2 windows: the bytes that a client may send before the server reads them, for a call and for a connection.
const CALL_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// A closing connection is cut off this long after its last call must have ended.
const CLOSING_MARGIN: Duration = Duration::from_secs(5);

/// Serves the gRPC connections of a server.
pub struct GrpcServer {
    http: http2::Builder<Streams>,
    handshake: Handshake,
    calls: Arc<Calls>,
    settings: ServerSettings,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    ByClient,
    InHandshake,
    NoPreface,
    Evicted,
    WriteStalled,
    ClosingTooLong,
}

impl GrpcServer {
    pub fn new(calls: Arc<Calls>, streams: Streams, handshake: Handshake, settings: &ServerSettings) -> Self {
        let limits = &settings.limits;
        let mut http = http2::Builder::new(streams);
        http.timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_calls_per_connection)
            // Clients reset calls whose deadlines pass; under overload these are many at once. By default, twenty reset
            // calls that wait to be accepted end the connection and all other calls on it.
            .max_pending_accept_reset_streams(usize::try_from(limits.max_calls_per_connection).ok())
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_header_list_size(READ_BYTES_MAX)
            .initial_stream_window_size(CALL_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout);
        Self { http, handshake, calls, settings: settings.clone() }
    }

    /// Serves a connection until it ends.
    pub async fn serve(&self, stream: TcpStream, connection: Arc<Connection>) {
        let ended = self.run(stream, &connection).await;
        if ended != Ended::ByClient {
            tracing::debug!(peer = %connection.peer, ?ended, "a connection was ended");
        }
    }

    async fn run(&self, stream: TcpStream, connection: &Arc<Connection>) -> Ended {
        let limits = &self.settings.limits;
        let handshake_ends = Instant::now() + limits.handshake_timeout;
        // Before the handshake, so that a connection with an unfinished handshake can be evicted.
        if !self.calls.authenticator.allows_anonymous_calls() {
            connection.needs_credentials();
        }
        let Some(transport) = self.handshake.run(stream, connection).await else { return Ended::InHandshake };
        let calls = ConnectionCalls { calls: Arc::clone(&self.calls), connection: Arc::clone(connection) };
        let mut http = pin!(self.http.serve_connection(TokioIo::new(BufferedStream::new(transport)), calls));

        let mut preface_deadline = pin!(sleep_until(handshake_ends));
        let mut old = pin!(sleep(jittered(limits.connection_age)));
        let mut ticks = interval_at(Instant::now() + limits.write_timeout, limits.write_timeout);
        let mut closed = pin!(sleep(Duration::ZERO));
        let (mut has_sent_preface, mut closing) = (false, false);
        loop {
            tokio::select! {
                // An error here is the client's fault: it broke the connection or the protocol.
                _ = &mut http => return Ended::ByClient,
                () = &mut preface_deadline, if !has_sent_preface => {
                    if !connection.has_sent_preface() {
                        return Ended::NoPreface;
                    }
                    has_sent_preface = true;
                }
                () = connection.evicted.cancelled() => {
                    // GOAWAY is written first: it informs the client that it may retry elsewhere.
                    http.as_mut().graceful_shutdown();
                    let _: Poll<Result<(), hyper::Error>> = poll!(&mut http);
                    return Ended::Evicted;
                }
                () = connection.closing.cancelled(), if !closing => {
                    if !connection.has_sent_preface() {
                        return Ended::NoPreface;
                    }
                    closing = true;
                    http.as_mut().graceful_shutdown();
                    closed.set(sleep(self.closing_bound()));
                }
                () = &mut closed, if closing => return Ended::ClosingTooLong,
                () = &mut old, if !closing => connection.closing.cancel(),
                _ = ticks.tick() => {
                    if connection.unwritten().age() {
                        return Ended::WriteStalled;
                    }
                    if connection.idle_for().is_some_and(|idle| idle >= limits.connection_idle) {
                        connection.closing.cancel();
                    }
                }
            }
        }
    }

    /// How long a connection may take to close: the longest time of a call, and a margin for the last answer to travel.
    fn closing_bound(&self) -> Duration {
        self.settings.request_timeout.max(self.settings.shutdown_drain) + CLOSING_MARGIN
    }
}

/// Spreads the renewal of connections that were opened together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(0.9..1.1))
}
