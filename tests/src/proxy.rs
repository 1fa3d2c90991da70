//! A TCP proxy between a service and its database: counts round trips, and takes the database away.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

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
    round_trips: Arc<AtomicU64>,
    mode: watch::Sender<Mode>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let round_trips = Arc::new(AtomicU64::new(0));
        let mode = watch::Sender::new(Mode::Pass);
        let tracker = TaskTracker::new();
        let accepting = tracker.spawn({
            let (round_trips, mode, tracker) = (Arc::clone(&round_trips), mode.subscribe(), tracker.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (round_trips, mut mode) = (Arc::clone(&round_trips), mode.clone());
                    tracker.spawn(async move {
                        if *mode.borrow() == Mode::Cut {
                            return;
                        }
                        let cut = mode.clone();
                        tokio::select! {
                            _ = pass(client, target, &round_trips, cut) => {}
                            _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
                        }
                    });
                }
            }
        });
        Ok(Self { address, round_trips, mode, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// How often the client has asked and waited since the proxy was started.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::SeqCst)
    }

    /// Passes nothing on any more, but keeps the connections.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Closes every connection, and every new one at once.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Passes everything on again.
    pub fn mend(&self) {
        self.mode.send_replace(Mode::Pass);
    }
}

async fn pass(
    client: TcpStream,
    target: SocketAddr,
    round_trips: &AtomicU64,
    mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // A round trip begins when the client speaks after the server had the last word.
    let servers_word = AtomicU64::new(1);
    let asked = || {
        if servers_word.swap(0, Ordering::SeqCst) == 1 {
            round_trips.fetch_add(1, Ordering::SeqCst);
        }
    };
    let answered = || {
        servers_word.store(1, Ordering::SeqCst);
    };
    tokio::select! {
        end = pump(from_client, to_server, asked, mode.clone()) => end,
        end = pump(from_server, to_client, answered, mode) => end,
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    passing: impl Fn(),
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if mode.wait_for(|mode| *mode == Mode::Pass).await.is_err() {
            return Ok(());
        }
        passing();
        to.write_all(&buffer[..length]).await?;
    }
}
