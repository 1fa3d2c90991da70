//! The workload of the well-behaved client, and its measurements.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use hdrhistogram::Histogram;
use teppan_shared::contract::booking::v1::{StreamBookingEventsRequest, StreamStart};
use teppan_tests::{
    clients::{self, BookingClients},
    fixtures,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::stage::Stage;

/// Concurrent workers of the client.
const WORKERS: usize = 4;
/// A slower call counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause of a worker after a failed call.
const PAUSE: Duration = Duration::from_millis(20);

/// The repeated work of the well-behaved client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Stores a message over a kept connection.
    StoreMessage,
    /// Stores a message over a new connection each time.
    StoreMessageOverNewConnection,
    /// Opens a stream of events and reads its first message.
    OpenStream,
    /// Requests the readiness over HTTP, over a new connection each time.
    RequestReadiness,
}

/// The measurements of the well-behaved client.
pub struct Served {
    pub ok: u64,
    pub failed: u64,
    pub span: Duration,
    /// Times of the successful calls, in microseconds.
    pub times: Histogram<u64>,
}

impl Served {
    fn nothing(span: Duration) -> Self {
        let times = Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        Self { ok: 0, failed: 0, span, times }
    }

    fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.times.add(&other.times).expect("both have the same bounds");
    }

    pub fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.ok).unwrap_or(u32::MAX)) / self.span.as_secs_f64()
    }

    /// The share of calls that succeeded.
    pub fn share_ok(&self) -> f64 {
        let count = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        count(self.ok) / count(self.ok + self.failed).max(1.0)
    }

    pub fn p99(&self) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(0.99))
    }
}

impl Workload {
    /// Repeats and measures the workload for this long.
    pub async fn measure(self, stage: &Stage, span: Duration) -> Served {
        let workers = join_all((0..WORKERS).map(|_| self.work(stage, span))).await;
        let mut all = Served::nothing(span);
        for served in &workers {
            all.add(served);
        }
        all
    }

    async fn work(self, stage: &Stage, span: Duration) -> Served {
        let mut served = Served::nothing(span);
        let mut kept = clients::conversations(stage.process.grpc);
        let mut bookings = BookingClients::new(stage.process.grpc).bookings;
        let message = || fixtures::message(&fixtures::conversation_id(), "Hello");
        let until = Instant::now() + span;
        while Instant::now() < until {
            let since = Instant::now();
            let once = async {
                match self {
                    Self::StoreMessage => kept.store_message(message()).await.is_ok(),
                    Self::StoreMessageOverNewConnection => {
                        clients::conversations(stage.process.grpc).store_message(message()).await.is_ok()
                    }
                    Self::OpenStream => {
                        let start = StreamStart::Newest.into();
                        let request = StreamBookingEventsRequest { start, follow: true, ..Default::default() };
                        match bookings.stream_booking_events(request).await {
                            Ok(stream) => stream.into_inner().message().await.is_ok_and(|first| first.is_some()),
                            Err(_) => false,
                        }
                    }
                    Self::RequestReadiness => is_ready(stage.process.http).await.unwrap_or(false),
                }
            };
            if tokio::time::timeout(PATIENCE, once).await.unwrap_or(false) {
                served.ok += 1;
                let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                served.times.saturating_record(micros);
            } else {
                served.failed += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        served
    }
}

async fn is_ready(http: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(http).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: hostile\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
