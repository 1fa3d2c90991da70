//! A TCP proxy between a service and its database. It counts round trips, makes the database unavailable, delays it,
//! and loses answers.

mod connection;
mod pump;
mod statements;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::connection::Connection;

/// Clients that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Recorded statements: the proxy of a long run must not grow.
const RAN_MAX: usize = 100_000;

/// The treatment of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Nothing is passed on; connections stay open.
    Stall,
    /// Connections are closed, and so are new ones.
    Cut,
}

/// A proxy. It ends when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Door>,
}

/// The state that all connections share.
struct Shared {
    target: Mutex<SocketAddr>,
    /// The number of changes of the target. Older connections get no more answers.
    led: watch::Sender<u64>,
    mode: watch::Sender<Mode>,
    /// The number of times that all connections were closed.
    closed: watch::Sender<u64>,
    /// Whether they were reset.
    resets: AtomicBool,
    connections: watch::Sender<usize>,
    round_trips: AtomicU64,
    /// The round trips of readiness checks.
    readiness_checks: AtomicU64,
    opened: AtomicU64,
    /// Connections up to this number carry no more bytes.
    dropped_up_to: AtomicU64,
    held_back: AtomicU64,
    /// A fragment of the statement whose next answer is lost.
    to_lose: Mutex<Option<&'static str>>,
    lost: AtomicU64,
    /// The first lines of the executed statements, up to [`RAN_MAX`].
    ran: Mutex<Vec<String>>,
    /// The delay of each direction, in microseconds.
    one_way_us: AtomicU64,
}

/// Whether clients can connect.
enum Door {
    /// The proxy listens.
    Open(AbortOnDropHandle<()>),
    /// The proxy refuses connections and keeps its port, by a bound socket that does not listen.
    Shut(TcpSocket),
    Moving,
}

impl Proxy {
    /// Listens on a free loopback port, and passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            led: watch::Sender::default(),
            mode: watch::Sender::new(Mode::Pass),
            closed: watch::Sender::new(0),
            resets: AtomicBool::new(false),
            connections: watch::Sender::new(0),
            round_trips: AtomicU64::new(0),
            readiness_checks: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            dropped_up_to: AtomicU64::new(0),
            one_way_us: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            to_lose: Mutex::default(),
            lost: AtomicU64::new(0),
            ran: Mutex::default(),
        });
        let door = Mutex::new(Door::Open(accept(listener, Arc::clone(&shared))));
        Ok(Self { address, shared, door })
    }

    /// The number of round trips since the start of the proxy.
    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::SeqCst)
    }

    /// The number of round trips without those of readiness checks.
    pub fn round_trips_of_calls(&self) -> u64 {
        self.round_trips().saturating_sub(self.shared.readiness_checks.load(Ordering::SeqCst))
    }

    /// Connections opened since the start of the proxy. Each costs another round trip, which [`Proxy::round_trips`]
    /// does not count.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Delays the server so that a round trip takes this long, also when a connection opens.
    pub fn set_round_trip_time(&self, round_trip: Duration) {
        let one_way = u64::try_from(round_trip.as_micros() / 2).expect("less than an age");
        self.shared.one_way_us.store(one_way, Ordering::SeqCst);
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// Bytes that clients have sent, and that the stalled or slow proxy has not passed on.
    pub fn held_back(&self) -> u64 {
        self.shared.held_back.load(Ordering::SeqCst)
    }

    /// The next time that a statement contains `fragment`, the server completes it but its answer is lost: the client's
    /// connection is closed instead.
    pub fn lose_answer_to(&self, fragment: &'static str) {
        *self.shared.to_lose() = Some(fragment);
    }

    /// The number of lost answers.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// The number of executed statements whose first line starts like this.
    pub fn ran(&self, beginning: &str) -> usize {
        self.shared.ran().iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Stops passing bytes on, and keeps the connections.
    pub fn stall(&self) {
        self.shared.mode.send_replace(Mode::Stall);
    }

    /// Drops all bytes of existing connections without closing them, as when a NAT gateway has forgotten them. New
    /// connections work.
    pub fn drop_existing(&self) {
        self.shared.dropped_up_to.store(self.opened(), Ordering::SeqCst);
        self.restore();
    }

    /// Leads new connections to another server. Existing connections stay open without any bytes, as when their server
    /// hangs.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.shared.led.send_modify(|times| *times += 1);
        self.restore();
    }

    /// Closes every connection. New ones work.
    pub fn close_connections(&self) {
        self.shared.resets.store(false, Ordering::SeqCst);
        self.shared.closed.send_modify(|times| *times += 1);
    }

    /// Resets every connection: both sides receive a RST segment. New connections work.
    pub fn reset_connections(&self) {
        self.shared.resets.store(true, Ordering::SeqCst);
        self.shared.closed.send_modify(|times| *times += 1);
    }

    /// Closes every connection, now and from now on. Returns when the last is closed.
    pub async fn cut(&self) {
        self.shared.mode.send_replace(Mode::Cut);
        // The sender lives as long as `self`.
        let _ = self.shared.connections.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Closes every connection and refuses new ones, as a stopped server does. Returns when the last is closed.
    pub async fn refuse(&self) -> io::Result<()> {
        let open = std::mem::replace(&mut *self.door(), Door::Moving);
        if let Door::Open(accepting) = open {
            accepting.abort();
            let _ = accepting.await; // the port is free only when the listener is gone
        }
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        *self.door() = Door::Shut(socket);
        self.cut().await;
        Ok(())
    }

    /// Ends every fault: passes bytes on again, and accepts connections.
    pub fn restore(&self) {
        self.shared.mode.send_replace(Mode::Pass);
        let mut door = self.door();
        *door = match std::mem::replace(&mut *door, Door::Moving) {
            Door::Shut(socket) => {
                let listener = socket.listen(BACKLOG).expect("a bound socket can listen");
                Door::Open(accept(listener, Arc::clone(&self.shared)))
            }
            other => other,
        };
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn to_lose(&self) -> std::sync::MutexGuard<'_, Option<&'static str>> {
        self.to_lose.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ran(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a statement. Returns whether its answer is to be lost, which consumes the request.
    fn runs(&self, text: &str) -> bool {
        let mut ran = self.ran();
        if ran.len() < RAN_MAX {
            ran.push(text.lines().next().unwrap_or_default().to_owned());
        }
        drop(ran);
        self.to_lose().take_if(|fragment| text.contains(*fragment)).is_some()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.mode.send_replace(Mode::Cut);
    }
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> AbortOnDropHandle<()> {
    let tracker = TaskTracker::new();
    let accepting = tracker.spawn({
        let tracker = tracker.clone();
        async move {
            while let Ok((client, _)) = listener.accept().await {
                // Counted before the mode is read: `cut` sets the mode before it reads the count, so one of them always
                // sees the other's change.
                let connection = Connection::open(Arc::clone(&shared));
                tracker.spawn(connection.run(client));
            }
        }
    });
    AbortOnDropHandle::new(accepting)
}
