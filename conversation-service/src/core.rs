//! What every use case works with. Each use case is a method of [`Core`], in a file of its own.

use std::sync::atomic::AtomicU32;

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    outbox::{EVENT_STREAM, Outbox},
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
    worker::Nudge,
};

use tokio::sync::{Notify, Semaphore};

use crate::{
    claim_due_follow_ups::LOOKS_AT_ONCE,
    follow_up_metrics::FollowUpMetrics,
    outbox,
    settings::{DispatchSettings, EmotionAggregation, SchedulingSettings, Settings},
};

/// The service behind its gRPC face.
pub struct Core {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ring: KeyRing,
    /// Tells whether two calls with one message id or one idempotency key are the same.
    pub(crate) fingerprint: KeyedHash,
    /// When scores and labels are counted.
    pub(crate) emotion_aggregation: EmotionAggregation,
    /// Wakes up the worker that counts them.
    pub(crate) emotions_pending: Nudge,
    pub(crate) scheduling: SchedulingSettings,
    pub(crate) dispatch: DispatchSettings,
    /// Tells whether two claims with one key are the same, and one follow-up's message from another.
    pub(crate) dispatch_fingerprint: KeyedHash,
    /// Wakes up the calls that wait for a follow-up to fall due.
    pub(crate) follow_ups_ready: Notify,
    /// How many such calls wait.
    pub(crate) claims_waiting: AtomicU32,
    /// Bounds how many of them query the database at once.
    pub(crate) claim_looks: Semaphore,
    /// Wakes up the clock: something may be due already.
    pub(crate) follow_up_clock: Nudge,
    pub(crate) outbox: Outbox,
    /// Whether events are published: then the statement that makes one true writes its message.
    pub(crate) publishes: bool,
    /// Wakes up the relays of the outbox.
    pub(crate) events_pending: Nudge,
    pub(crate) follow_up_metrics: FollowUpMetrics,
}

impl Core {
    pub fn new(database: Database, keys: &Keys, settings: &Settings) -> Self {
        let outbox = outbox::open(database.clone(), settings);
        Self {
            database,
            clock: settings.clock,
            ring: keys.ring(),
            fingerprint: KeyedHash::derive(&keys.hash, "teppan conversation messages.fingerprint"),
            emotion_aggregation: settings.emotions.aggregation,
            emotions_pending: Nudge::default(),
            scheduling: settings.scheduling.clone(),
            dispatch: settings.dispatch.clone(),
            dispatch_fingerprint: KeyedHash::derive(&keys.hash, "teppan follow_ups.fingerprint"),
            follow_ups_ready: Notify::new(),
            claims_waiting: AtomicU32::new(0),
            claim_looks: Semaphore::new(LOOKS_AT_ONCE),
            follow_up_clock: Nudge::default(),
            publishes: outbox.is_in_use(EVENT_STREAM),
            events_pending: outbox.nudge_of(EVENT_STREAM),
            outbox,
            follow_up_metrics: FollowUpMetrics::default(),
        }
    }
}
