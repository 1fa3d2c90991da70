//! What every use case works with. Each use case is a method of [`Core`], in a file of its own.

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::Database,
    sealing::{KeyRing, KeyedHash},
    worker::Nudge,
};

use crate::settings::EmotionAggregation;

/// The service behind its gRPC face.
pub struct Core {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ring: KeyRing,
    /// Tells whether two calls with one message id are the same.
    pub(crate) fingerprint: KeyedHash,
    /// When scores and labels are counted.
    pub(crate) emotion_aggregation: EmotionAggregation,
    /// Wakes up the worker that counts them.
    pub(crate) emotions_pending: Nudge,
}

impl Core {
    pub fn new(database: Database, keys: &Keys, clock: Clock, emotion_aggregation: EmotionAggregation) -> Self {
        Self {
            database,
            clock,
            ring: keys.ring(),
            fingerprint: KeyedHash::derive(&keys.hash, "teppan conversation messages.fingerprint"),
            emotion_aggregation,
            emotions_pending: Nudge::default(),
        }
    }
}
