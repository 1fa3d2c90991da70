//! The state of a client's connection, shared by the server and the calls on it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pools::Holder;
use crate::tls::PeerCertificate;

/// The connection preface of HTTP/2, and the header of the SETTINGS frame that must follow it.
const HTTP2_PREFACE_BYTES: usize = 24 + 9;

/// When all connections are taken, a connection that has been idle for this long may be closed for a new one.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// The same for a connection that is unauthenticated or has not sent its preface.
const UNPROVEN_IDLE_MIN: Duration = Duration::from_millis(100);
/// A connection is closed after so many calls in a row whose credentials were not accepted.
const REFUSED_MAX: u32 = 20;

/// A connection. It is in the extensions of each of its requests.
#[derive(Debug)]
pub struct Connection {
    pub peer: SocketAddr,
    /// Counts the permits of its calls.
    pub holder: Arc<Holder>,
    /// Cancelled when it accepts no more calls: its streams end, and waiting calls stop waiting.
    pub closing: CancellationToken,
    /// Cancelled when it must close at once for a new connection.
    pub evicted: CancellationToken,
    accepted_at: Instant,
    /// All calls, from their first byte.
    calls: Uses,
    /// The calls whose message is complete. Only they protect the connection from eviction, because beginning a call
    /// costs a client nothing.
    served: Uses,
    received_bytes: AtomicUsize,
    unwritten: UnwrittenParts,
    peer_certificate: OnceLock<PeerCertificate>,
    /// Credentials are required, and none were accepted on this connection yet.
    is_unauthenticated: AtomicBool,
    refused_calls: AtomicU32,
}

impl Connection {
    /// The caller must cancel `closing` when the server drains.
    pub fn new(peer: SocketAddr, closing: CancellationToken) -> Self {
        Self {
            peer,
            holder: Arc::default(),
            closing,
            evicted: CancellationToken::new(),
            accepted_at: Instant::now(),
            calls: Uses::default(),
            served: Uses::default(),
            received_bytes: AtomicUsize::new(0),
            unwritten: UnwrittenParts::default(),
            peer_certificate: OnceLock::new(),
            is_unauthenticated: AtomicBool::new(false),
            refused_calls: AtomicU32::new(0),
        }
    }

    /// The client's certificate, if it has sent one. An authority of TLS_CLIENT_CA_FILE has signed it.
    pub fn peer_certificate(&self) -> Option<&PeerCertificate> {
        self.peer_certificate.get()
    }

    /// Stores the client's certificate from the TLS handshake.
    pub(super) fn set_peer_certificate(&self, certificate: PeerCertificate) {
        // There is one handshake on a connection.
        let _ = self.peer_certificate.set(certificate);
    }

    /// Marks the connection as unauthenticated, because its callers need credentials.
    pub fn needs_credentials(&self) {
        self.is_unauthenticated.store(true, Relaxed);
    }

    /// Whether no caller has been authenticated on it. Such a connection may be closed for any new one.
    pub fn is_unauthenticated(&self) -> bool {
        self.is_unauthenticated.load(Relaxed) && self.peer_certificate.get().is_none()
    }

    /// The credentials of a call were accepted.
    pub fn authenticated(&self) {
        self.is_unauthenticated.store(false, Relaxed);
        self.refused_calls.store(0, Relaxed);
    }

    /// The credentials of a call were not accepted.
    pub fn authentication_failed(&self) {
        if self.refused_calls.fetch_add(1, Relaxed) + 1 >= REFUSED_MAX {
            self.closing.cancel();
        }
    }

    /// How long there has been no call on it; `None` while there is one.
    pub fn idle_for(&self) -> Option<Duration> {
        self.calls.none_for(self.accepted_at)
    }

    /// How long it has served no call, if that is long enough to close it for a new connection.
    pub fn idle_if_evictable(&self) -> Option<Duration> {
        if self.is_unauthenticated() {
            // Its calls do not count, because they are probes or are refused.
            return Some(self.accepted_at.elapsed()).filter(|age| *age >= UNPROVEN_IDLE_MIN);
        }
        let min = if self.has_sent_preface() { IDLE_MIN } else { UNPROVEN_IDLE_MIN };
        self.served.none_for(self.accepted_at).filter(|idle| *idle >= min)
    }

    pub fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes, Relaxed);
    }

    /// Whether the client has sent as many bytes as the HTTP/2 preface has. Bytes of the TLS handshake do not count.
    pub fn has_sent_preface(&self) -> bool {
        self.received_bytes.load(Relaxed) >= HTTP2_PREFACE_BYTES
    }

    /// The parts of answers that were passed to the transport and are not written yet.
    pub fn unwritten(&self) -> &UnwrittenParts {
        &self.unwritten
    }
}

/// The number of current uses, and the end of the last one.
#[derive(Debug, Default)]
struct Uses {
    count: AtomicUsize,
    /// In milliseconds after the beginning.
    ended_at_ms: AtomicU64,
}

impl Uses {
    fn begin(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    fn end(&self, beginning: Instant) {
        let now = u64::try_from(beginning.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ended_at_ms.store(now, Relaxed);
        self.count.fetch_sub(1, Relaxed);
    }

    /// How long there has been no use, counted from the beginning at most.
    fn none_for(&self, beginning: Instant) -> Option<Duration> {
        let ended_at = beginning + Duration::from_millis(self.ended_at_ms.load(Relaxed));
        (self.count.load(Relaxed) == 0).then(|| ended_at.elapsed())
    }
}

/// Counts a call on a connection until it is dropped.
#[derive(Debug)]
pub struct InUse {
    connection: Arc<Connection>,
    is_served: AtomicBool,
}

impl InUse {
    pub fn new(connection: &Arc<Connection>) -> Self {
        connection.calls.begin();
        Self { connection: Arc::clone(connection), is_served: AtomicBool::new(false) }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Marks the call's message as complete. The connection is not evicted until the call has ended.
    pub fn serve(&self) {
        if !self.is_served.swap(true, Relaxed) {
            self.connection.served.begin();
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let Connection { accepted_at, calls, served, .. } = &*self.connection;
        if *self.is_served.get_mut() {
            served.end(*accepted_at);
        }
        calls.end(*accepted_at);
    }
}

const GENERATIONS: usize = 3;

/// Detects a part of an answer that has waited too long. Instead of a list of the parts, it keeps their number for each
/// generation in which they were passed to the transport.
#[derive(Debug, Default)]
pub struct UnwrittenParts {
    generation: AtomicUsize,
    parts: [AtomicUsize; GENERATIONS],
}

impl UnwrittenParts {
    /// Counts a part that is passed to the transport, and returns its generation.
    pub fn hand_over(&self) -> usize {
        let generation = self.generation.load(Relaxed) % GENERATIONS;
        self.parts[generation].fetch_add(1, Relaxed);
        generation
    }

    /// Counts a part of this generation as written or discarded.
    pub fn written(&self, generation: usize) {
        self.parts[generation].fetch_sub(1, Relaxed);
    }

    /// Begins the next generation. Returns `true`, and does not begin it, if parts from the generation before the last
    /// remain.
    pub fn age(&self) -> bool {
        let next = self.generation.load(Relaxed) + 1;
        if self.parts[next % GENERATIONS].load(Relaxed) > 0 {
            return true;
        }
        self.generation.store(next, Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_waited_too_long_when_two_generations_began_after_it() {
        let unwritten = UnwrittenParts::default();
        let old = unwritten.hand_over();
        assert!(!unwritten.age());
        let newer = unwritten.hand_over();
        assert!(!unwritten.age());
        assert!(unwritten.age(), "the first part is still there");
        unwritten.written(old);
        assert!(!unwritten.age());
        assert!(unwritten.age(), "now the second part has waited as long");
        unwritten.written(newer);
        assert!((0..10).all(|_| !unwritten.age()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unauthenticated_connection_can_be_evicted_even_while_it_serves_calls() {
        let connection = Arc::new(Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new()));
        connection.needs_credentials();
        let call = InUse::new(&connection);
        call.serve();
        assert_eq!(connection.idle_if_evictable(), None, "its first call may still be arriving");
        tokio::time::advance(UNPROVEN_IDLE_MIN).await;
        assert_eq!(connection.idle_if_evictable(), Some(UNPROVEN_IDLE_MIN));
        connection.authenticated();
        assert_eq!(connection.idle_if_evictable(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_closes_after_twenty_refused_calls_in_a_row() {
        let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
        for _ in 0..REFUSED_MAX - 1 {
            connection.authentication_failed();
        }
        connection.authenticated();
        for _ in 0..REFUSED_MAX - 1 {
            connection.authentication_failed();
        }
        assert!(!connection.closing.is_cancelled());
        connection.authentication_failed();
        assert!(connection.closing.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_call() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Arc::new(Connection::new(peer, CancellationToken::new()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(connection.idle_for(), Some(Duration::from_secs(2)));
        let call = InUse::new(&connection);
        assert_eq!(connection.idle_for(), None);
        drop(call);
        assert_eq!(connection.idle_for(), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_can_be_evicted_unless_it_serves_a_call() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Arc::new(Connection::new(peer, CancellationToken::new()));
        connection.received(HTTP2_PREFACE_BYTES);
        let arriving = InUse::new(&connection);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(connection.idle_if_evictable(), Some(Duration::from_secs(2)), "its message is incomplete");
        arriving.serve();
        arriving.serve();
        assert_eq!(connection.idle_if_evictable(), None);
        drop(arriving);
        assert_eq!(connection.idle_if_evictable(), None, "it served a call a moment ago");
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(InUse::new(&connection));
        assert_eq!(
            connection.idle_if_evictable(),
            Some(Duration::from_secs(2)),
            "a call without a message does not count"
        );
    }
}
