//! A TCP proxy between a service and its database: counts round trips, takes the database away, puts it far
//! away, and loses answers.

mod connection;
mod pump;
mod statements;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::connection::Connection;

/// Clients that may wait to be let in.
const BACKLOG: u32 = 1024;

/// What the proxy does with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Nothing is passed on; connections stay open.
    Stall,
    /// Connections are closed, and new ones at once too.
    Cut,
}

/// A proxy. It ends when it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Door>,
}

/// What every connection sees.
struct Shared {
    target: Mutex<SocketAddr>,
    /// How often the proxy was led elsewhere. Connections from before are never answered.
    led: watch::Sender<u64>,
    mode: watch::Sender<Mode>,
    /// How often all connections were closed.
    closed: watch::Sender<u64>,
    connections: watch::Sender<usize>,
    round_trips: AtomicU64,
    /// Those of them by which readiness looks at the database.
    looks: AtomicU64,
    opened: AtomicU64,
    /// Connections up to this one carry nothing any more.
    buried: AtomicU64,
    held_back: AtomicU64,
    /// What the text of the statement contains whose next answer is lost.
    to_lose: Mutex<Option<&'static str>>,
    lost: AtomicU64,
    /// What was run, each by the first line of its text.
    ran: Mutex<Vec<String>>,
    /// What each direction takes, in microseconds.
    one_way_us: AtomicU64,
}

/// Whether clients can connect.
enum Door {
    /// The proxy listens.
    Open(AbortOnDropHandle<()>),
    /// It does not, and keeps its port: bound, a socket that does not listen refuses connections.
    Shut(TcpSocket),
    Moving,
}

impl Proxy {
    /// Listens on a free port of loopback and passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            led: watch::Sender::default(),
            mode: watch::Sender::new(Mode::Pass),
            closed: watch::Sender::new(0),
            connections: watch::Sender::new(0),
            round_trips: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            buried: AtomicU64::new(0),
            one_way_us: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            to_lose: Mutex::default(),
            lost: AtomicU64::new(0),
            ran: Mutex::default(),
        });
        let door = Mutex::new(Door::Open(accept(listener, Arc::clone(&shared))));
        Ok(Self { address, shared, door })
    }

    /// How often the client has asked and waited since the proxy was started.
    pub fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::SeqCst)
    }

    /// Round trips so far, without those by which readiness looks at the database.
    pub fn round_trips_of_calls(&self) -> u64 {
        self.round_trips().saturating_sub(self.shared.looks.load(Ordering::SeqCst))
    }

    /// Connections that were opened since the proxy was started. Each cost a round trip more, which is
    /// not among [`Proxy::round_trips`]: nobody speaks in it.
    pub fn opened(&self) -> u64 {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Puts the server so far away that a round trip takes this long, also the one that opens a
    /// connection.
    pub fn put_away(&self, round_trip: Duration) {
        let one_way = u64::try_from(round_trip.as_micros() / 2).expect("less than an age");
        self.shared.one_way_us.store(one_way, Ordering::SeqCst);
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// Bytes that the client has sent and that are not passed on while the proxy stalls.
    pub fn held_back(&self) -> u64 {
        self.shared.held_back.load(Ordering::SeqCst)
    }

    /// The next time that a statement is run whose text contains `fragment`, the server takes it to its end and
    /// the client never hears of it: its connection is closed instead.
    pub fn lose_answer_to(&self, fragment: &'static str) {
        *self.shared.to_lose() = Some(fragment);
    }

    /// Answers that were lost so far.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// How often a statement was run whose first line begins so.
    pub fn ran(&self, beginning: &str) -> usize {
        self.shared.ran().iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Passes nothing on any more, but keeps the connections.
    pub fn stall(&self) {
        self.shared.mode.send_replace(Mode::Stall);
    }

    /// What was opened before carries nothing any more, and nobody is told, as when a gateway that translates
    /// addresses has forgotten it. New connections work.
    pub fn bury(&self) {
        self.shared.buried.store(self.opened(), Ordering::SeqCst);
        self.mend();
    }

    /// Leads new connections to another server. Those that are open stay open, and nothing is passed on in them any
    /// more: their server hangs.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
        self.shared.led.send_modify(|times| *times += 1);
        self.mend();
    }

    /// Closes every connection, and lets new ones in.
    pub fn close_connections(&self) {
        self.shared.closed.send_modify(|times| *times += 1);
    }

    /// Closes every connection, and every new one at once. Returns when the last is closed.
    pub async fn cut(&self) {
        self.shared.mode.send_replace(Mode::Cut);
        // The sender lives as long as `self`.
        let _ = self.shared.connections.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Closes every connection and refuses new ones, as a server that was stopped does. Returns
    /// when the last is closed.
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

    /// Passes everything on again, and lets new connections in.
    pub fn mend(&self) {
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

    /// Notes that a statement is run. Whether its answer is to be lost; one is for each that is asked for.
    fn runs(&self, text: &str) -> bool {
        self.ran().push(text.lines().next().unwrap_or_default().to_owned());
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
                // Counted before the mode is looked at: `cut` sets the mode before it looks at the
                // count, so that either sees the other.
                let connection = Connection::open(Arc::clone(&shared));
                tracker.spawn(connection.run(client));
            }
        }
    });
    AbortOnDropHandle::new(accepting)
}
