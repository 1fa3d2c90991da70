//! What the streams of one process share: the nudge that wakes them up, how many there may be, and
//! what is counted.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use opentelemetry::{
    global,
    metrics::{Counter, Gauge, Histogram, UpDownCounter},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Between two looks of a stream that found the end: commits that come thick and fast are seen together.
/// Also the first wait for a transaction that holds events back.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Many streams look less often each, so that all of them together ask the database at most 500 times a
/// second for what is new.
const LOOK_INTERVAL_PER_STREAM: Duration = Duration::from_millis(2);

/// How streams are served.
#[derive(Debug, Clone, Copy)]
pub struct EventStreamSettings {
    /// How long a stream rests when no event was made in this process: others make events too.
    pub poll: Duration,
    /// After so much silence the cursor is sent.
    pub heartbeat: Duration,
    /// Streams at once; more are answered OVERLOADED.
    pub streams_max: usize,
}

impl Default for EventStreamSettings {
    fn default() -> Self {
        Self { poll: Duration::from_millis(250), heartbeat: Duration::from_secs(15), streams_max: 100 }
    }
}

/// See the module.
pub struct LiveStreams {
    pub settings: EventStreamSettings,
    committed: watch::Sender<()>,
    places: Arc<Semaphore>,
    metrics: Metrics,
}

#[derive(Clone)]
struct Metrics {
    streams: UpDownCounter<i64>,
    events: Counter<u64>,
    lag_seconds: Histogram<f64>,
    held_back_seconds: Gauge<f64>,
}

/// A stream's place among those there may be, until it is dropped.
pub struct OpenStream {
    metrics: Metrics,
    _place: OwnedSemaphorePermit,
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
                .with_description("Events that were streamed, to each reader.")
                .build(),
            lag_seconds: meter
                .f64_histogram("teppan.event_stream.lag")
                .with_unit("s")
                .with_description("From when an event happened until it was streamed to a reader that follows.")
                .build(),
            held_back_seconds: meter
                .f64_gauge("teppan.event_stream.held_back")
                .with_unit("s")
                .with_description(
                    "Age of the oldest event that waits for a transaction of somebody to end, 0 when none does.",
                )
                .build(),
        };
        let places = Arc::new(Semaphore::new(settings.streams_max));
        Self { settings, committed: watch::Sender::new(()), places, metrics }
    }

    /// Events were committed by this process: streams look at once.
    pub fn nudge(&self) {
        self.committed.send_replace(());
    }

    /// Hears every nudge from now on.
    pub fn nudges(&self) -> watch::Receiver<()> {
        self.committed.subscribe()
    }

    /// How long a stream that found the end waits at least before it looks again.
    pub fn look_interval(&self) -> Duration {
        let open = self.settings.streams_max - self.places.available_permits();
        LOOK_INTERVAL.max(LOOK_INTERVAL_PER_STREAM * u32::try_from(open).unwrap_or(u32::MAX))
    }

    /// `None` when there are as many streams as there may be.
    pub fn open(&self) -> Option<OpenStream> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.metrics.streams.add(1, &[]);
        Some(OpenStream { metrics: self.metrics.clone(), _place: place })
    }
}

impl OpenStream {
    pub fn looked(&self, now: DateTime<Utc>, held_back_since: Option<DateTime<Utc>>) {
        self.metrics.held_back_seconds.record(held_back_since.map_or(0.0, |since| seconds(now - since)), &[]);
    }

    /// `lag` is how long ago the event happened, for a reader that follows.
    pub fn sent(&self, lag: Option<chrono::TimeDelta>) {
        self.metrics.events.add(1, &[]);
        if let Some(lag) = lag {
            self.metrics.lag_seconds.record(seconds(lag), &[]);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.metrics.streams.add(-1, &[]);
    }
}

fn seconds(span: chrono::TimeDelta) -> f64 {
    span.to_std().unwrap_or_default().as_secs_f64()
}
