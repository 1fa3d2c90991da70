//! A TCP proxy between a service and its database: counts round trips, takes the database away, puts it far
//! away, and loses answers.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// Clients that may wait to be let in.
const BACKLOG: u32 = 1024;
/// Pieces that are on their way in one direction of a far connection.
const ON_THE_WAY_MAX: usize = 1024;

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

/// One connection; counted for as long as it lives.
struct Connection {
    shared: Arc<Shared>,
    /// Connections are counted from one.
    number: u64,
}

impl Connection {
    fn open(shared: Arc<Shared>) -> Self {
        shared.connections.send_modify(|open| *open += 1);
        let number = shared.opened.fetch_add(1, Ordering::SeqCst) + 1;
        Self { shared, number }
    }

    async fn run(self, client: TcpStream) {
        let (mut mode, mut closed) = (self.shared.mode.subscribe(), self.shared.closed.subscribe());
        // Dropping the loser closes both of its sides.
        tokio::select! {
            biased;
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
            _ = closed.changed() => {}
            _ = self.pass(client) => {}
        }
    }

    async fn pass(&self, client: TcpStream) -> io::Result<()> {
        // The kernel has let the client in already: its first word comes a round trip late instead.
        sleep_until(Instant::now() + 2 * self.shared.one_way()).await;
        let (target, mut led) = {
            let target = self.shared.target.lock().unwrap_or_else(PoisonError::into_inner);
            (*target, self.shared.led.subscribe())
        };
        let server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // A round trip begins when the client speaks after the server had the last word.
        let servers_word = AtomicU64::new(1);
        let loses = AtomicBool::new(false);
        let mut statements = HashMap::new();
        let asked = |bytes: &[u8]| {
            if servers_word.swap(0, Ordering::SeqCst) == 1 {
                self.shared.round_trips.fetch_add(1, Ordering::SeqCst);
                if bytes.windows(LOOK.len()).any(|part| part == LOOK) {
                    self.shared.looks.fetch_add(1, Ordering::SeqCst);
                }
            }
            if let Some((name, text)) = prepared(bytes) {
                statements.insert(name, text);
            }
            let text = executed(bytes).and_then(|name| statements.get(&name));
            if text.is_some_and(|text| self.shared.runs(text)) {
                loses.store(true, Ordering::SeqCst);
            }
            Passing::On
        };
        let answered = |bytes: &[u8]| {
            servers_word.store(1, Ordering::SeqCst);
            match (loses.load(Ordering::SeqCst), bytes.ends_with(READY_FOR_QUERY)) {
                (false, _) => Passing::On,
                (true, false) => Passing::Nothing,
                (true, true) => {
                    self.shared.lost.fetch_add(1, Ordering::SeqCst);
                    Passing::End
                }
            }
        };
        let uncounted = AtomicU64::new(0);
        tokio::select! {
            end = self.shared.pump(self.number, from_client, to_server, asked, &self.shared.held_back) => end,
            end = self.shared.pump(self.number, from_server, to_client, answered, &uncounted) => end,
            Ok(()) = led.changed() => std::future::pending().await,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.send_modify(|open| *open -= 1);
    }
}

impl Shared {
    fn one_way(&self) -> Duration {
        Duration::from_micros(self.one_way_us.load(Ordering::SeqCst))
    }

    /// Passes on what comes, each piece after its time on the way.
    async fn pump(
        &self,
        number: u64,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        mut passing: impl FnMut(&[u8]) -> Passing,
        held_back: &AtomicU64,
    ) -> io::Result<()> {
        let (on_the_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>, Held)>(ON_THE_WAY_MAX);
        // What is on its way when the sender hangs up still arrives.
        let take = async move {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = from.read(&mut buffer).await?;
                if length == 0 {
                    return io::Result::Ok(());
                }
                let piece = buffer[..length].to_vec();
                let held = Held::back(held_back, length as u64);
                let _ = on_the_way.send((Instant::now() + self.one_way(), piece, held)).await;
            }
        };
        let mut mode = self.mode.subscribe();
        let pass_on = async {
            while let Some((arrives, piece, held)) = arriving.recv().await {
                sleep_until(arrives).await;
                if mode.wait_for(|mode| *mode == Mode::Pass).await.is_err() {
                    return Ok(());
                }
                drop(held);
                if number <= self.buried.load(Ordering::SeqCst) {
                    continue;
                }
                match passing(&piece) {
                    Passing::On => to.write_all(&piece).await?,
                    Passing::Nothing => {}
                    Passing::End => return Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
            Ok(())
        };
        tokio::try_join!(take, pass_on).map(|_| ())
    }
}

/// What becomes of bytes.
enum Passing {
    On,
    Nothing,
    /// Nor of any after them: the connection is closed.
    End,
}

/// What readiness asks twice a second.
const LOOK: &[u8] = b"SELECT current_setting('transaction_read_only')";

/// The last that a server says, when a statement has ended and is committed.
const READY_FOR_QUERY: &[u8] = b"Z\0\0\0\x05I";

/// Name and text of the statement that is prepared, where that is what the client begins with.
fn prepared(bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let mut strings = strings(bytes, b'P')?;
    let (name, text) = (strings.next()?, strings.next()?);
    Some((name.to_vec(), String::from_utf8_lossy(text).into_owned()))
}

/// Name of the prepared statement that is run, where that is what the client begins with.
fn executed(bytes: &[u8]) -> Option<Vec<u8>> {
    strings(bytes, b'B')?.nth(1).map(<[u8]>::to_vec)
}

/// The strings at the beginning of a message of this kind.
fn strings(bytes: &[u8], kind: u8) -> Option<impl Iterator<Item = &[u8]>> {
    let (&first, rest) = bytes.split_first()?;
    (first == kind).then(|| rest.get(4..).unwrap_or_default().split(|byte| *byte == 0))
}

/// Bytes that wait to be passed on.
struct Held<'a>(&'a AtomicU64, u64);

impl<'a> Held<'a> {
    fn back(count: &'a AtomicU64, bytes: u64) -> Self {
        count.fetch_add(bytes, Ordering::SeqCst);
        Self(count, bytes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}
