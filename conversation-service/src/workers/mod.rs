//! Jobs that run in the background, each under the one loop of `teppan_shared::worker`.

mod emotion_aggregation;
mod retention;

pub use self::{emotion_aggregation::EmotionAggregation, retention::Retention};
