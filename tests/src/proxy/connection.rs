//! One connection: counts round trips, and loses answers.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::{
    Mode, Shared,
    pump::Passing,
    statements::{READINESS_CHECK, READY_FOR_QUERY, executed, prepared},
};

/// One connection, counted while it is open.
pub struct Connection {
    shared: Arc<Shared>,
    /// Connections are numbered from one.
    number: u64,
}

impl Connection {
    pub fn open(shared: Arc<Shared>) -> Self {
        shared.connections.send_modify(|open| *open += 1);
        let number = shared.opened.fetch_add(1, Ordering::SeqCst) + 1;
        Self { shared, number }
    }

    pub async fn run(self, client: TcpStream) {
        let (mut mode, mut closed) = (self.shared.mode.subscribe(), self.shared.closed.subscribe());
        // Dropping both streams closes them.
        let (mut client, mut server) = (client, None);
        tokio::select! {
            biased;
            _ = mode.wait_for(|mode| *mode == Mode::Cut) => return,
            _ = closed.changed() => {}
            _ = self.pass(&mut client, &mut server) => return,
        }
        if self.shared.resets.load(Ordering::SeqCst) {
            // Without lingering, closing a stream sends RST.
            let _ = client.set_zero_linger();
            let _ = server.map(|server| server.set_zero_linger());
        }
    }

    async fn pass(&self, client: &mut TcpStream, server: &mut Option<TcpStream>) -> io::Result<()> {
        // The kernel has already accepted the client, so the delay of connecting is added to its first bytes.
        sleep_until(Instant::now() + 2 * self.shared.one_way()).await;
        let (target, led) = {
            let target = self.shared.target.lock().unwrap_or_else(PoisonError::into_inner);
            (*target, self.shared.led.subscribe())
        };
        let server = server.insert(TcpStream::connect(target).await?);
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        // A round trip begins when the client sends after the server has sent.
        let servers_word = AtomicU64::new(1);
        let loses = AtomicBool::new(false);
        let mut statements = HashMap::new();
        let asked = |bytes: &[u8]| {
            if servers_word.swap(0, Ordering::SeqCst) == 1 {
                self.shared.round_trips.fetch_add(1, Ordering::SeqCst);
                if bytes.windows(READINESS_CHECK.len()).any(|part| part == READINESS_CHECK) {
                    self.shared.readiness_checks.fetch_add(1, Ordering::SeqCst);
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
            end = self.shared.pump(self.number, from_client, to_server, asked, &self.shared.held_back, led.clone()) => end,
            end = self.shared.pump(self.number, from_server, to_client, answered, &uncounted, led) => end,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.send_modify(|open| *open -= 1);
    }
}
