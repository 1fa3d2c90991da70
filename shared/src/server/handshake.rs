//! The TLS handshake of a connection, bounded in time. A connection with an unfinished handshake takes a slot and can
//! be evicted. The library bounds the bytes of a handshake to 64 KiB.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::Connection,
    transport::{Socket, Transport},
};
use crate::{
    log_limiter::LogLimiter,
    reloaded::Reloaded,
    tls::{PeerCertificate, ServerConfigs},
};

/// The first byte of a TLS connection: the record type "handshake".
const TLS_HANDSHAKE: u8 = 22;
/// How long a client may take to read why its handshake failed, and the most bytes that are read from it meanwhile.
const CLOSE_TIME: Duration = Duration::from_secs(1);
const CLOSE_BYTES: u64 = 64 * 1024;
/// How long a client that speaks plaintext may take to begin its first call.
const CALL_TIME: Duration = Duration::from_millis(500);

/// Reasons of failed handshakes in the metrics.
const PLAINTEXT: &str = "plaintext";
const TIMEOUT: &str = "timeout";
const TLS: &str = "tls";

/// The protocol of a server's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Protocol {
    Grpc,
    Http,
}

/// Performs the handshakes of a server's connections.
pub struct Handshake {
    protocol: Protocol,
    tls: Option<Arc<Reloaded<ServerConfigs>>>,
    time: Duration,
    write_timeout: Duration,
    failed: Counter<u64>,
    failing: Mutex<LogLimiter>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the client does not speak TLS")]
    Plaintext,
    #[error("the handshake took too long")]
    TooSlow,
    #[error("the connection was evicted for a new one, or the server stops")]
    Evicted,
    /// Includes a missing certificate, and one that no trusted authority has signed.
    #[error(transparent)]
    Tls(io::Error),
    #[error("the client disconnected")]
    Disconnected,
}

impl Handshake {
    /// `time` bounds each handshake.
    pub fn new(
        protocol: Protocol,
        tls: Option<Arc<Reloaded<ServerConfigs>>>,
        time: Duration,
        write_timeout: Duration,
    ) -> Self {
        let failed = global::meter("teppan")
            .u64_counter("teppan.server.handshakes_failed")
            .with_description("TLS handshakes that failed.")
            .build();
        if tls.is_some() {
            for reason in [PLAINTEXT, TIMEOUT, TLS] {
                failed.add(0, &[KeyValue::new("server", protocol.into_str()), KeyValue::new("error.type", reason)]);
            }
        }
        Self { protocol, tls, time, write_timeout, failed, failing: Mutex::default() }
    }

    /// The transport of a connection, after the handshake if TLS is used; `None` when the connection has ended.
    pub async fn run(&self, stream: TcpStream, connection: &Arc<Connection>) -> Option<Transport> {
        let Some(tls) = &self.tls else {
            return Some(Transport::plain(Socket::new(stream, self.write_timeout), Arc::clone(connection)));
        };
        let configs = tls.current();
        let config = match self.protocol {
            Protocol::Grpc => &configs.grpc,
            Protocol::Http => &configs.http,
        };
        let ends_at = Instant::now() + self.time;
        let shaken = tokio::select! {
            shaken = timeout_at(ends_at, self.shake(config, stream, connection)) => {
                shaken.unwrap_or(Err(Failed::TooSlow))
            }
            () = connection.evicted.cancelled() => Err(Failed::Evicted),
            () = connection.closing.cancelled() => Err(Failed::Evicted),
        };
        match shaken {
            Ok(transport) => {
                let certificate = connection.peer_certificate();
                tracing::debug!(peer = %connection.peer, ?certificate, "TLS handshake done");
                Some(transport)
            }
            Err(failed) => {
                self.report(&failed, connection);
                None
            }
        }
    }

    async fn shake(
        &self,
        config: &Arc<ServerConfig>,
        stream: TcpStream,
        connection: &Arc<Connection>,
    ) -> Result<Transport, Failed> {
        let mut first = [0];
        if stream.peek(&mut first).await.map_err(|_| Failed::Disconnected)? == 0 {
            return Err(Failed::Disconnected);
        }
        if first[0] != TLS_HANDSHAKE {
            // Best effort: the client may not read the reason.
            let _ = timeout(CLOSE_TIME, refuse_plaintext(self.protocol, stream)).await;
            return Err(Failed::Plaintext);
        }
        let socket = Socket::new(stream, self.write_timeout);
        let accepted = TlsAcceptor::from(Arc::clone(config)).accept(socket).into_fallible().await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, _)) if is_of_the_network(&error) => return Err(Failed::Disconnected),
            Err((error, socket)) => {
                // The alert is already written. It states whether the certificate is the problem.
                let _ = timeout(CLOSE_TIME, close_readable(socket)).await;
                return Err(Failed::Tls(error));
            }
        };
        let sent = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let Some(certificate) = sent {
            let names = PeerCertificate::read(certificate);
            connection.set_peer_certificate(names.map_err(|error| Failed::Tls(io::Error::other(error)))?);
        }
        Ok(Transport::tls(stream, Arc::clone(connection)))
    }

    fn report(&self, failed: &Failed, connection: &Connection) {
        let reason = match failed {
            Failed::Plaintext => PLAINTEXT,
            Failed::TooSlow => TIMEOUT,
            Failed::Tls(_) => TLS,
            // Load balancers probe by connecting only.
            Failed::Evicted | Failed::Disconnected => return,
        };
        let server = self.protocol.into_str();
        self.failed.add(1, &[KeyValue::new("server", server), KeyValue::new("error.type", reason)]);
        let times = self.failing.lock().unwrap_or_else(PoisonError::into_inner).record();
        if let Some(times) = times {
            tracing::warn!(server, peer = %connection.peer, error = %failed, times, "TLS handshake failed");
        }
    }
}

/// Answers a client that speaks plaintext in such a way that its library reports the reason.
async fn refuse_plaintext(protocol: Protocol, mut stream: TcpStream) -> io::Result<()> {
    match protocol {
        Protocol::Grpc => {
            stream.write_all(&SETTINGS).await?;
            // A client's library reports the reason only to calls that have begun. If the connection ends before that,
            // the reason is lost.
            let _ = timeout(CALL_TIME, call_begins(&mut stream)).await;
            stream.write_all(&goaway()).await?;
        }
        Protocol::Http => {
            let body = "This address speaks TLS: use https.\n";
            let length = body.len();
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n";
            stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await?;
        }
    }
    close_readable(stream).await
}

/// Closes a connection so that its client can still read the answer: closing a socket with unread bytes would discard
/// the answer.
async fn close_readable(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(CLOSE_BYTES), &mut sink()).await.map(|_| ())
}

fn is_of_the_network(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof};
    [BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof].contains(&error.kind())
}

/// An empty HTTP/2 SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads HTTP/2 frames until the first HEADERS frame.
async fn call_begins(stream: &mut TcpStream) -> io::Result<()> {
    const PREFACE_BYTES: u64 = 24;
    const HEADERS: u8 = 1;
    copy(&mut stream.take(PREFACE_BYTES), &mut sink()).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        if head[3] == HEADERS {
            return Ok(());
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        copy(&mut stream.take(length.into()), &mut sink()).await?;
    }
}

/// An HTTP/2 GOAWAY frame with INADEQUATE_SECURITY.
fn goaway() -> Vec<u8> {
    const LAST_STREAM_AND_CODE: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0xc];
    let debug = b"this address speaks TLS";
    let length = u8::try_from(LAST_STREAM_AND_CODE.len() + debug.len()).unwrap_or(u8::MAX);
    [&[0, 0, length, 7, 0, 0, 0, 0, 0][..], &LAST_STREAM_AND_CODE, debug].concat()
}
