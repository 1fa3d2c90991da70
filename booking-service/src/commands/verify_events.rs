//! `booking-service verify-events`: compares the bookings with their events, for an operator at a terminal.

mod checkpoint_file;
mod progress;
mod run;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use teppan_shared::{postgres::DatabaseError, read_error::ReadError, service, tasks::StopSignals};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    checkpoint_file::{CheckpointFile, CheckpointFileError},
    run::{Outcome, Run},
};
use crate::{
    app::DEFINITION,
    checkpoints::keys::CheckpointKeys,
    domain::{BookingId, VenueId},
    settings::Settings,
    verification::Verification,
    verification::bookings::VerifyScope,
};

/// Exit code: there are findings.
const FINDINGS: u8 = 1;
/// Exit code: the booking does not exist.
const BAD_USAGE: u8 = 2;
/// Exit code: the command failed, for example because the database is unavailable.
const NOT_DONE: u8 = 3;
/// Exit code: interrupted, as shells report SIGINT.
const INTERRUPTED: u8 = 130;

/// What to verify, and whether to repair it.
#[derive(Debug, Args)]
pub struct VerifyEventsCommand {
    /// Verify only this booking, and no slots
    #[arg(long, value_name = "UUID")]
    booking: Option<Uuid>,
    /// Verify only the bookings and slots of this venue. Bookings that are gone are not reported, because their venue
    /// is not known
    #[arg(long, value_name = "UUID")]
    venue: Option<Uuid>,
    /// File outside the database with the newest checkpoint of the last run. Created if it does not exist; otherwise
    /// that checkpoint must still be in the database. Without findings, the newest checkpoint is written to it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the findings as JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Also rebuild every row from its events in the table bookings_rebuilt, which is created again, and report in
    /// which columns rows differ. The rows in force are not changed
    #[arg(long)]
    repair_projection: bool,
    /// Replace the rows that differ by the rebuilt rows, then correct the seats of slots, and verify again. A booking
    /// whose chain is broken, or that changes meanwhile, is not changed but reported. With --booking or --venue no
    /// slots are corrected. The exit code is that of the second verification
    #[arg(long, requires = "repair_projection")]
    swap: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("the bookings cannot be read")]
    Read(#[from] ReadError),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
    #[error("the checkpoint file cannot be used")]
    CheckpointFile(#[from] CheckpointFileError),
    #[error("Ctrl-C cannot be received")]
    Signals(#[source] std::io::Error),
}

impl VerifyEventsCommand {
    /// Runs the command on the database of the settings, and returns the exit code of the process.
    pub async fn run(self, settings: &Settings) -> ExitCode {
        let mut outcome = None;
        let _ = service::on_database(&DEFINITION, &settings.common, async |open| {
            outcome = Some({
                let (database, clock) = (open.database.clone(), settings.clock);
                let checkpoint_keys = CheckpointKeys::of(&open.keys);
                self.verify(&Verification { database, clock, checkpoint_keys }).await?
            });
            Ok::<_, CommandError>(())
        })
        .await;
        ExitCode::from(match outcome {
            Some(Outcome::NoFindings) => 0,
            Some(Outcome::Findings) => FINDINGS,
            Some(Outcome::NoSuchBooking) => BAD_USAGE,
            Some(Outcome::Interrupted) => INTERRUPTED,
            None => NOT_DONE,
        })
    }

    /// Ctrl-C and SIGTERM end the command between two statements, so that no repair is left half done.
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
        let file = self.checkpoint.clone().map(CheckpointFile);
        let run = |rebuild| Run::new(verification, scope, self.json, rebuild, file.as_ref(), stopping);
        let mut first = run(self.repair_projection);
        let outcome = first.verify().await?;
        if !self.swap || matches!(outcome, Outcome::Interrupted | Outcome::NoSuchBooking) {
            return Ok(outcome);
        }
        if outcome == Outcome::Findings {
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
