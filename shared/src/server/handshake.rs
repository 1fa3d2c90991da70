//! The beginning of a connection: the TLS handshake, bounded in time. It holds the connection's slot, and gives way to
//! new connections like one that is silent. The library bounds its bytes to 64 KiB.

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
    rarely::Rarely,
    reloaded::Reloaded,
    tls::{PeerCertificate, ServerConfigs},
};

/// The first byte of a TLS connection: the type of a record of the handshake.
const TLS_HANDSHAKE: u8 = 22;
/// What a client may take to read why its handshake failed, and the bytes that are read of it meanwhile.
const PARTING_TIME: Duration = Duration::from_secs(1);
const PARTING_BYTES: u64 = 64 * 1024;
/// How long a client that speaks plaintext may take until its first call begins.
const CALL_TIME: Duration = Duration::from_millis(500);

/// Why handshakes fail, in metrics.
const PLAINTEXT: &str = "plaintext";
const TIMEOUT: &str = "timeout";
const TLS: &str = "tls";

/// What is spoken on the connections of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    /// Its name in metrics and the log.
    fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// Begins the connections of a server.
pub struct Handshake {
    protocol: Protocol,
    tls: Option<Arc<Reloaded<ServerConfigs>>>,
    time: Duration,
    write_timeout: Duration,
    failed: Counter<u64>,
    failing: Mutex<Rarely>,
}

/// Why a connection did not begin.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the client does not speak TLS")]
    Plaintext,
    #[error("the handshake took too long")]
    TooSlow,
    #[error("the connection gave way to a new one, or the server stops")]
    GaveWay,
    /// Also a certificate that is missing or that nobody vouches for.
    #[error(transparent)]
    Tls(io::Error),
    #[error("the client went away")]
    Gone,
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
                failed.add(0, &[KeyValue::new("server", protocol.name()), KeyValue::new("error.type", reason)]);
            }
        }
        Self { protocol, tls, time, write_timeout, failed, failing: Mutex::default() }
    }

    /// The transport of a connection, after the handshake where TLS is spoken; `None` when the connection has ended.
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
            () = connection.evicted.cancelled() => Err(Failed::GaveWay),
            () = connection.closing.cancelled() => Err(Failed::GaveWay),
        };
        match shaken {
            Ok(transport) => {
                let certificate = connection.peer_certificate();
                tracing::debug!(peer = %connection.peer, ?certificate, "a TLS handshake is done");
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
        if stream.peek(&mut first).await.map_err(|_| Failed::Gone)? == 0 {
            return Err(Failed::Gone);
        }
        if first[0] != TLS_HANDSHAKE {
            // The client is told whether or not it listens.
            let _ = timeout(PARTING_TIME, refuse_plaintext(self.protocol, stream)).await;
            return Err(Failed::Plaintext);
        }
        let socket = Socket::new(stream, self.write_timeout);
        let accepted = TlsAcceptor::from(Arc::clone(config)).accept(socket).into_fallible().await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, _)) if is_of_the_network(&error) => return Err(Failed::Gone),
            Err((error, socket)) => {
                // The alert is written, and says whether it is the certificate.
                let _ = timeout(PARTING_TIME, part(socket)).await;
                return Err(Failed::Tls(error));
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let Some(certificate) = shown {
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
            // Probes of load balancers only connect.
            Failed::GaveWay | Failed::Gone => return,
        };
        let server = self.protocol.name();
        self.failed.add(1, &[KeyValue::new("server", server), KeyValue::new("error.type", reason)]);
        let times = self.failing.lock().unwrap_or_else(PoisonError::into_inner).now();
        if let Some(times) = times {
            tracing::warn!(server, peer = %connection.peer, error = %failed, times, "a TLS handshake failed");
        }
    }
}

/// Answers a client that speaks plaintext so that its library reports what is wrong.
async fn refuse_plaintext(protocol: Protocol, mut stream: TcpStream) -> io::Result<()> {
    match protocol {
        Protocol::Grpc => {
            stream.write_all(&SETTINGS).await?;
            // A client's library passes the reason on to calls that are under way. If the connection ends before a
            // call begins, it forgets the reason.
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
    part(stream).await
}

/// Closes a connection so that its client can read the last words: closing a socket with unread bytes discards them.
async fn part(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(PARTING_BYTES), &mut sink()).await.map(|_| ())
}

fn is_of_the_network(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof};
    [BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof].contains(&error.kind())
}

/// HTTP/2's frame SETTINGS, empty.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads HTTP/2's frames until the first HEADERS.
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

/// HTTP/2's frame GOAWAY with INADEQUATE_SECURITY.
fn goaway() -> Vec<u8> {
    const LAST_STREAM_AND_CODE: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0xc];
    let debug = b"this address speaks TLS";
    let length = u8::try_from(LAST_STREAM_AND_CODE.len() + debug.len()).unwrap_or(u8::MAX);
    [&[0, 0, length, 7, 0, 0, 0, 0, 0][..], &LAST_STREAM_AND_CODE, debug].concat()
}
