//! `booking-service verify-events`: the books are audited, for an operator at a terminal.

mod progress;
mod run;

use std::process::ExitCode;

use clap::Args;
use teppan_shared::{postgres::DatabaseError, read_error::ReadError, service, tasks::StopSignals};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::run::{Outcome, Run};
use crate::{
    app::DEFINITION,
    domain::{BookingId, VenueId},
    settings::Settings,
    verification::Verification,
    verification::bookings::VerifyScope,
};

/// Something is not as it should be.
const FOUND: u8 = 1;
/// The command was asked for what there is not.
const BAD_USAGE: u8 = 2;
/// The database gave no answer, for example: nothing is known.
const NOT_DONE: u8 = 3;
/// What shells answer for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// What to look at, and what to do about it.
#[derive(Debug, Args)]
pub struct VerifyEventsCommand {
    /// Only this booking; slots are then not looked at
    #[arg(long, value_name = "UUID")]
    booking: Option<Uuid>,
    /// Only the bookings and slots of this venue
    #[arg(long, value_name = "UUID")]
    venue: Option<Uuid>,
    /// Findings as JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Also write every row as its events make it into the table bookings_rebuilt, which is made anew, and tell
    /// in which columns rows differ. The rows in force are left alone
    #[arg(long)]
    repair_projection: bool,
    /// Put the rebuilt rows in force where they differ, then correct the seats of slots, and verify again. What
    /// has a broken chain, or changes meanwhile, is left as it is and reported, and so are the slots where --booking
    /// or --venue looks at less than everything. The exit code is that of the second look
    #[arg(long, requires = "repair_projection")]
    swap: bool,
}

/// The command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("the bookings cannot be read")]
    Read(#[from] ReadError),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
    #[error("Ctrl-C cannot be received")]
    Signals(#[source] std::io::Error),
}

impl VerifyEventsCommand {
    /// Does it on the database of the settings, and tells the process's exit code.
    pub async fn run(self, settings: &Settings) -> ExitCode {
        let mut outcome = None;
        let _ = service::on_database(&DEFINITION, &settings.common, async |open| {
            outcome = Some({
                let (database, clock) = (open.database.clone(), settings.clock);
                self.verify(&Verification { database, clock }).await?
            });
            Ok::<_, CommandError>(())
        })
        .await;
        ExitCode::from(match outcome {
            Some(Outcome::Sound) => 0,
            Some(Outcome::Found) => FOUND,
            Some(Outcome::NoSuchBooking) => BAD_USAGE,
            Some(Outcome::Interrupted) => INTERRUPTED,
            None => NOT_DONE,
        })
    }

    /// Ctrl-C and SIGTERM end it between two statements, so that none is left half done.
    async fn verify(&self, verification: &Verification) -> Result<Outcome, CommandError> {
        let mut signals = StopSignals::receive().map_err(CommandError::Signals)?;
        let stopping = CancellationToken::new();
        let work = self.work(verification, &stopping);
        tokio::pin!(work);
        tokio::select! {
            biased;
            _ = signals.next() => stopping.cancel(),
            outcome = &mut work => return outcome,
        }
        work.await
    }

    async fn work(&self, verification: &Verification, stopping: &CancellationToken) -> Result<Outcome, CommandError> {
        let scope = VerifyScope { booking_id: self.booking.map(BookingId), venue_id: self.venue.map(VenueId) };
        let run = |rebuild| Run::new(verification, scope, self.json, rebuild, stopping);
        let mut first = run(self.repair_projection);
        let outcome = first.verify().await?;
        if !self.swap || matches!(outcome, Outcome::Interrupted | Outcome::NoSuchBooking) {
            return Ok(outcome);
        }
        if outcome == Outcome::Found {
            if first.swap().await? == Outcome::Interrupted {
                return Ok(Outcome::Interrupted);
            }
            eprintln!("Verifying again ...");
            let again = run(false).verify().await?;
            verification.drop_rebuilt().await?;
            return Ok(again);
        }
        verification.drop_rebuilt().await?;
        Ok(outcome)
    }
}
