//! The acts of the journey, in order. A new act needs a new file and a line here.

pub use self::deposit::SECRET as STRIPE_SECRET;
use crate::{journal::Failed, stage::Stage};

mod change;
mod conversations;
mod deposit;
mod emotions;
mod evening;
mod follow_up;
mod invalid;
mod person;
mod read_back;
mod retry;
mod sold_out;
mod terms;
mod venue;
mod wait;
mod waiting;

/// Plays the whole journey, and stops at the first step with an unexpected result.
pub async fn play(stage: &mut Stage) -> Result<(), Failed> {
    let venues = venue::play(stage).await?;
    let talks = conversations::play(stage, &venues).await?;
    retry::play(stage, &talks[0]).await?;
    let sold_out = sold_out::play(stage).await?;
    evening::play(stage).await?;
    invalid::play(stage).await?;
    read_back::play(stage, &talks).await?;
    emotions::play(stage, &talks).await?;
    // The last booking needs no deposit: it is confirmed at once, and so has a follow-up.
    follow_up::play(stage, &talks[talks.len() - 1]).await?;
    let (moves, given_up) = deposit::play(stage, &talks[0], &talks[1]).await?;
    change::play(stage, &moves.booking, &given_up).await?;
    waiting::play(stage, sold_out).await?;
    person::play(stage, &talks[0], &given_up.booking).await?;
    terms::play(stage, &talks[0]).await
}
