//! What every use case works with. Each use case is a method of [`Core`], in a file of its own.

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
    worker::Nudge,
};

use crate::settings::{EmotionAggregation, SchedulingSettings, Settings};

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
    /// Whether what happens is published: then the statement that makes it happen writes the event.
    pub(crate) publishes: bool,
}

impl Core {
    pub fn new(database: Database, keys: &Keys, settings: &Settings) -> Self {
        Self {
            database,
            clock: settings.clock,
            ring: keys.ring(),
            fingerprint: KeyedHash::derive(&keys.hash, "teppan conversation messages.fingerprint"),
            emotion_aggregation: settings.emotions.aggregation,
            emotions_pending: Nudge::default(),
            scheduling: settings.scheduling.clone(),
            publishes: false,
        }
    }
}
