//! The acts of the journey, in their order. A further one is a further file and a line here.

use crate::{journal::Failed, stage::Stage};

mod conversations;
mod invalid;
mod read_back;
mod retry;
mod sold_out;
mod venue;

/// Plays the whole journey, and ends at the first step that does not do what it should.
pub async fn play(stage: &mut Stage) -> Result<(), Failed> {
    let venue = venue::play(stage).await?;
    let talks = conversations::play(stage, &venue).await?;
    retry::play(stage, &talks[0]).await?;
    sold_out::play(stage).await?;
    invalid::play(stage).await?;
    read_back::play(stage, &talks).await
}
