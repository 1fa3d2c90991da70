//! Jobs that run in the background, each under the one loop of `teppan_shared::worker`.

mod backlog;
mod emotion_aggregation;
mod follow_up_clock;
mod reengagement;
mod retention;

pub use self::{
    backlog::BacklogReading, emotion_aggregation::EmotionAggregation, follow_up_clock::FollowUpClock,
    reengagement::Reengagement, retention::Retention,
};
