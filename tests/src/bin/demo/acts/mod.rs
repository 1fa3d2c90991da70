//! The acts of the journey, in their order. A further one is a further file and a line here.

use crate::{journal::Failed, stage::Stage};

mod conversations;
mod emotions;
mod follow_up;
mod invalid;
mod read_back;
mod retry;
mod sold_out;
mod venue;
mod wait;

/// Plays the whole journey, and ends at the first step that does not do what it should.
pub async fn play(stage: &mut Stage) -> Result<(), Failed> {
    let venues = venue::play(stage).await?;
    let talks = conversations::play(stage, &venues).await?;
    retry::play(stage, &talks[0]).await?;
    sold_out::play(stage).await?;
    invalid::play(stage).await?;
    read_back::play(stage, &talks).await?;
    emotions::play(stage, &talks).await?;
    // The last guests' booking needs no deposit: it is confirmed, and so asked about afterwards.
    follow_up::play(stage, &talks[talks.len() - 1]).await
}
