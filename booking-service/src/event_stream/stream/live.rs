//! What all streams of one process share: the nudge that wakes them up, their number, and their metrics.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use opentelemetry::{
    global,
    metrics::{Counter, Gauge, Histogram, UpDownCounter},
};
use teppan_shared::telemetry::buckets;
use tokio::sync::watch;

/// Shortest time between two reads of a stream that has reached the end: one read sees several commits together.
/// Also the first wait for a transaction that holds events back.
pub const READ_INTERVAL: Duration = Duration::from_millis(10);
/// With many streams each one reads less often: all of them together read at most 500 times a second.
const READ_INTERVAL_PER_STREAM: Duration = Duration::from_millis(2);

/// How streams are served.
#[derive(Debug, Clone, Copy)]
pub struct EventStreamSettings {
    /// How long a stream waits when this process writes no event: other replicas write events too.
    pub poll: Duration,
    /// The cursor is sent when nothing else was sent for this long.
    pub heartbeat: Duration,
}

impl Default for EventStreamSettings {
    fn default() -> Self {
        Self { poll: Duration::from_millis(250), heartbeat: Duration::from_secs(15) }
    }
}

/// The shared state of all streams of this process.
pub struct LiveStreams {
    pub settings: EventStreamSettings,
    committed: watch::Sender<()>,
    open: Arc<AtomicU32>,
    metrics: Metrics,
}

#[derive(Clone)]
struct Metrics {
    streams: UpDownCounter<i64>,
    events: Counter<u64>,
    lag_seconds: Histogram<f64>,
    held_back_seconds: Gauge<f64>,
}

/// A stream that is open until it is dropped.
pub struct OpenStream {
    metrics: Metrics,
    open: Arc<AtomicU32>,
}

impl LiveStreams {
    pub fn new(settings: EventStreamSettings) -> Self {
        let meter = global::meter("teppan");
        let metrics = Metrics {
            streams: meter
                .i64_up_down_counter("teppan.event_stream.streams")
                .with_description("Streams of booking events that are open.")
                .build(),
            events: meter
                .u64_counter("teppan.event_stream.events")
                .with_description("Streamed events; an event counts once for each reader.")
                .build(),
            lag_seconds: meter
                .f64_histogram("teppan.event_stream.lag")
                .with_unit("s")
                .with_description("Time from an event until it was streamed to a reader with `follow`.")
                .with_boundaries(buckets::LAGS.to_vec())
                .build(),
            held_back_seconds: meter
                .f64_gauge("teppan.event_stream.held_back")
                .with_unit("s")
                .with_description("Age of the oldest event that an open transaction holds back, 0 when there is none.")
                .build(),
        };
        Self { settings, committed: watch::Sender::new(()), open: Arc::default(), metrics }
    }

    /// Wakes up all streams, after this process has committed events.
    pub fn nudge(&self) {
        self.committed.send_replace(());
    }

    /// Receives every nudge from now on.
    pub fn nudges(&self) -> watch::Receiver<()> {
        self.committed.subscribe()
    }

    /// The shortest wait of a stream that has reached the end before it reads again.
    pub fn read_interval(&self) -> Duration {
        READ_INTERVAL.max(READ_INTERVAL_PER_STREAM * self.open.load(Relaxed))
    }

    /// Counts a stream. The server bounds how many there are.
    pub fn open(&self) -> OpenStream {
        self.open.fetch_add(1, Relaxed);
        self.metrics.streams.add(1, &[]);
        OpenStream { metrics: self.metrics.clone(), open: Arc::clone(&self.open) }
    }
}

impl OpenStream {
    pub fn record_held_back(&self, now: DateTime<Utc>, held_back_since: Option<DateTime<Utc>>) {
        self.metrics.held_back_seconds.record(held_back_since.map_or(0.0, |since| seconds(now - since)), &[]);
    }

    /// `lag` is the age of the event, for a reader with `follow`.
    pub fn record_sent(&self, lag: Option<chrono::TimeDelta>) {
        self.metrics.events.add(1, &[]);
        if let Some(lag) = lag {
            self.metrics.lag_seconds.record(seconds(lag), &[]);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
        self.metrics.streams.add(-1, &[]);
    }
}

fn seconds(span: chrono::TimeDelta) -> f64 {
    span.to_std().unwrap_or_default().as_secs_f64()
}
