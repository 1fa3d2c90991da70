//! Accepts connections up to a limit, and pauses when the process has no file descriptors left.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, UpDownCounter},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use crate::{backoff::Backoff, log_limiter::LogLimiter};

/// The pauses after failed accepts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
/// How long a new connection waits until an evicted one has closed.
const EVICTION_WAIT: Duration = Duration::from_millis(250);

/// The connections of one server.
pub struct Connections {
    server: &'static str,
    max: usize,
    slots: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    drain: CancellationToken,
    active: UpDownCounter<i64>,
    refused: Counter<u64>,
}

/// Keeps a connection in the list of open connections until it is dropped.
struct Entry {
    id: u64,
    connections: Arc<Connections>,
    _slot: OwnedSemaphorePermit,
}

impl Connections {
    /// `server` is the name in metrics and the log.
    pub fn new(server: &'static str, max: usize, drain: CancellationToken) -> Arc<Self> {
        let meter = global::meter("teppan");
        let refused = meter
            .u64_counter("teppan.server.connections_refused")
            .with_description("Connections that were closed at once because the limit was reached.")
            .build();
        refused.add(0, &[KeyValue::new("server", server)]);
        Arc::new(Self {
            server,
            max,
            slots: Arc::new(Semaphore::new(max)),
            open: Mutex::default(),
            drain,
            active: meter
                .i64_up_down_counter("teppan.server.connections")
                .with_description("Open connections.")
                .build(),
            refused,
        })
    }

    /// Accepts and serves connections until the server drains; returns when all connections have ended.
    pub async fn serve<F>(self: Arc<Self>, listener: TcpListener, serve: impl Fn(TcpStream, Arc<Connection>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let (mut failures, mut failing, mut full) = (0, LogLimiter::default(), LogLimiter::default());
        let drain = self.drain.clone();
        for id in 0.. {
            let Some(accepted) = drain.run_until_cancelled(listener.accept()).await else { break };
            while tasks.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    failures = 0;
                    let Some(slot) = self.slot(&mut full).await else { continue };
                    let _ = stream.set_nodelay(true);
                    let (entry, connection) = self.enter(id, peer, slot);
                    let served = serve(stream, connection);
                    tasks.spawn(async move {
                        served.await;
                        drop(entry);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(times) = failing.record() {
                        tracing::error!(
                            server = self.server, %error, times, open = self.len(),
                            "connections cannot be accepted; trying again with pauses"
                        );
                    }
                    // This frees a file descriptor, in case the process has none left.
                    self.evict_idlest();
                    failures += 1;
                    let _ = drain.run_until_cancelled(sleep(BACKOFF.after(failures))).await;
                }
            }
        }
        // From here on new connections are refused at once, so that clients try another replica.
        drop(listener);
        while tasks.join_next().await.is_some() {}
    }

    /// A slot for a new connection. If all are taken, the connection that has been idle longest is closed.
    async fn slot(&self, full: &mut LogLimiter) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        if let Some(times) = full.record() {
            tracing::warn!(
                server = self.server,
                max = self.max,
                times,
                "the connection limit is reached; idle connections are closed to admit new ones, or new ones are refused"
            );
        }
        if self.evict_idlest()
            && let Ok(Ok(slot)) = timeout(EVICTION_WAIT, Arc::clone(&self.slots).acquire_owned()).await
        {
            return Some(slot);
        }
        self.refused.add(1, &[KeyValue::new("server", self.server)]);
        None
    }

    fn enter(self: &Arc<Self>, id: u64, peer: SocketAddr, slot: OwnedSemaphorePermit) -> (Entry, Arc<Connection>) {
        let connection = Arc::new(Connection::new(peer, self.drain.child_token()));
        self.lock().insert(id, Arc::clone(&connection));
        self.active.add(1, &[KeyValue::new("server", self.server)]);
        (Entry { id, connections: Arc::clone(self), _slot: slot }, connection)
    }

    /// Closes the oldest unauthenticated connection, or else the one that has been idle longest. `false` when none can
    /// be closed.
    fn evict_idlest(&self) -> bool {
        let open = self.lock();
        let idle = open.values().filter(|connection| !connection.evicted.is_cancelled());
        let idle = idle.filter_map(|connection| {
            let idle = connection.idle_if_evictable()?;
            Some(((connection.is_unauthenticated(), idle), connection))
        });
        let Some((_, idlest)) = idle.max_by_key(|(order, _)| *order) else { return false };
        idlest.evicted.cancel();
        true
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.id);
        self.connections.active.add(-1, &[KeyValue::new("server", self.connections.server)]);
    }
}

/// Whether only this connection failed, because its client disconnected before it was accepted. The next one can be
/// accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
