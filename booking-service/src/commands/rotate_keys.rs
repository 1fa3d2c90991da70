//! `booking-service rotate-keys`: signs the checkpoints anew, then seals everything anew.

use std::process::ExitCode;

use teppan_shared::{postgres::DatabaseError, rotation::RotateKeysCommand, service};

use crate::{
    app::{DEFINITION, SEALED_TABLES},
    checkpoints::{Checkpoints, keys::CheckpointKeys},
    settings::Settings,
};

/// Runs the command on the database of the settings, and returns the exit code of the process.
pub async fn run(command: RotateKeysCommand, settings: &Settings) -> ExitCode {
    if !command.count_only {
        let mut is_done = false;
        let failed = service::on_database(&DEFINITION, &settings.common, async |open| {
            let (database, clock, keys) = (open.database.clone(), settings.clock, CheckpointKeys::of(&open.keys));
            resign(&Checkpoints { database, clock, keys }).await?;
            is_done = true;
            Ok::<_, DatabaseError>(())
        })
        .await;
        if !is_done {
            return failed;
        }
    }
    command.run(&DEFINITION, &settings.common, &SEALED_TABLES).await
}

async fn resign(checkpoints: &Checkpoints) -> Result<(), DatabaseError> {
    let (mut after, mut done, mut refused) = (Some(0), 0, 0);
    while let Some(number) = after {
        let resigned = checkpoints.resign_checkpoints(number).await?;
        (done, refused, after) = (done + resigned.done, refused + resigned.refused, resigned.next);
    }
    eprintln!("event_checkpoints: {done} signed anew");
    if refused > 0 {
        println!("NOT_ROTATED table=event_checkpoints: {refused} checkpoints are not authentic: run verify-events");
    }
    Ok(())
}
