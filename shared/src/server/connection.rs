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

/// The connection preface of HTTP/2, and the head of the SETTINGS frame that has to follow it.
const HTTP2_GREETING_BYTES: usize = 24 + 9;

/// When all connections are taken, one that has served nothing for this long may be closed in favour of a new one: one
/// that has greeted, and one that has not.
const IDLE_MIN: Duration = Duration::from_secs(1);
const SILENT_MIN: Duration = Duration::from_millis(100);
/// A connection is closed after so many calls in a row whose credentials were not accepted.
const REFUSED_MAX: u32 = 20;

/// A connection: in the extensions of every request that comes over it.
#[derive(Debug)]
pub struct Connection {
    pub peer: SocketAddr,
    /// The permits of its calls.
    pub holder: Arc<Holder>,
    /// Cancelled when it takes no more calls: its streams end, and calls that wait stop waiting.
    pub closing: CancellationToken,
    /// Cancelled when it must close at once in favour of a new connection.
    pub evicted: CancellationToken,
    accepted_at: Instant,
    /// All calls, from their first byte.
    calls: Uses,
    /// The calls that the server has a whole message of. Only they keep a connection when others need it: to begin calls
    /// costs a client nothing.
    served: Uses,
    received_bytes: AtomicUsize,
    untaken: Untaken,
    peer_certificate: OnceLock<PeerCertificate>,
    /// Credentials are needed, and none that came over it were accepted yet.
    is_unauthenticated: AtomicBool,
    refused_calls: AtomicU32,
}

impl Connection {
    /// `closing` must be cancelled when the server drains.
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
            untaken: Untaken::default(),
            peer_certificate: OnceLock::new(),
            is_unauthenticated: AtomicBool::new(false),
            refused_calls: AtomicU32::new(0),
        }
    }

    /// The client's certificate, when it has shown one: an authority of TLS_CLIENT_CA_FILE has signed it.
    pub fn peer_certificate(&self) -> Option<&PeerCertificate> {
        self.peer_certificate.get()
    }

    /// Keeps the certificate that the client has shown in the TLS handshake.
    pub(super) fn set_peer_certificate(&self, certificate: PeerCertificate) {
        // There is one handshake on a connection.
        let _ = self.peer_certificate.set(certificate);
    }

    /// Its callers need credentials.
    pub fn needs_credentials(&self) {
        self.is_unauthenticated.store(true, Relaxed);
    }

    /// Whether nobody knows who is at the other end. Such a connection gives way to any new one.
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

    /// How long it has served no call, when that is long enough for it to be closed in favour of a new connection.
    pub fn gives_way_after(&self) -> Option<Duration> {
        if self.is_unauthenticated() {
            // Its calls do not count: they are probes, or are refused.
            return Some(self.accepted_at.elapsed()).filter(|age| *age >= SILENT_MIN);
        }
        let min = if self.has_greeted() { IDLE_MIN } else { SILENT_MIN };
        self.served.none_for(self.accepted_at).filter(|idle| *idle >= min)
    }

    pub fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes, Relaxed);
    }

    /// Whether the client has sent as many bytes as HTTP/2 begins with; those of a TLS handshake do not count.
    pub fn has_greeted(&self) -> bool {
        self.received_bytes.load(Relaxed) >= HTTP2_GREETING_BYTES
    }

    /// Parts of answers that were handed to the transport and are not written yet.
    pub fn untaken(&self) -> &Untaken {
        &self.untaken
    }
}

/// How many uses there are of something, and when the last one ended.
#[derive(Debug, Default)]
struct Uses {
    count: AtomicUsize,
    /// Milliseconds after the beginning.
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

    /// How long there has been none, since the beginning at most.
    fn none_for(&self, beginning: Instant) -> Option<Duration> {
        let ended_at = beginning + Duration::from_millis(self.ended_at_ms.load(Relaxed));
        (self.count.load(Relaxed) == 0).then(|| ended_at.elapsed())
    }
}

/// A call on a connection, until this is dropped.
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

    /// The whole message of the call is there: its connection does not give way to others until it has ended.
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

/// Finds out whether some part of an answer has waited too long, without a list of the parts: it counts them by the
/// generation in which they were handed over.
#[derive(Debug, Default)]
pub struct Untaken {
    generation: AtomicUsize,
    parts: [AtomicUsize; GENERATIONS],
}

impl Untaken {
    /// Counts a part that is handed over, and returns its generation.
    pub fn hand_over(&self) -> usize {
        let generation = self.generation.load(Relaxed) % GENERATIONS;
        self.parts[generation].fetch_add(1, Relaxed);
        generation
    }

    /// A part of this generation was written or discarded.
    pub fn taken(&self, generation: usize) {
        self.parts[generation].fetch_sub(1, Relaxed);
    }

    /// Begins the next generation, unless parts remain from the generation before the last: then it returns `true`.
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
    fn a_part_is_old_when_it_saw_two_generations_begin() {
        let untaken = Untaken::default();
        let old = untaken.hand_over();
        assert!(!untaken.age());
        let newer = untaken.hand_over();
        assert!(!untaken.age());
        assert!(untaken.age(), "the first part is still there");
        untaken.taken(old);
        assert!(!untaken.age());
        assert!(untaken.age(), "now the second is as old");
        untaken.taken(newer);
        assert!((0..10).all(|_| !untaken.age()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_caller_is_not_known_gives_way_whatever_calls_it_has() {
        let connection = Arc::new(Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new()));
        connection.needs_credentials();
        let call = InUse::new(&connection);
        call.serve();
        assert_eq!(connection.gives_way_after(), None, "its first call may be on its way");
        tokio::time::advance(SILENT_MIN).await;
        assert_eq!(connection.gives_way_after(), Some(SILENT_MIN));
        connection.authenticated();
        assert_eq!(connection.gives_way_after(), None);
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
    async fn a_connection_gives_way_unless_a_call_on_it_is_served() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Arc::new(Connection::new(peer, CancellationToken::new()));
        connection.received(HTTP2_GREETING_BYTES);
        let arriving = InUse::new(&connection);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(connection.gives_way_after(), Some(Duration::from_secs(2)), "its message is not there");
        arriving.serve();
        arriving.serve();
        assert_eq!(connection.gives_way_after(), None);
        drop(arriving);
        assert_eq!(connection.gives_way_after(), None, "it has served a call just now");
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(InUse::new(&connection));
        assert_eq!(connection.gives_way_after(), Some(Duration::from_secs(2)), "a call without a message is no use");
    }
}
