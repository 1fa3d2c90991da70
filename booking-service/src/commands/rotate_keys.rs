//! `booking-service rotate-keys`: signs the checkpoints and hashes the customers anew, then seals everything anew.

use std::process::ExitCode;

use teppan_shared::{error_chain::error_chain, postgres::DatabaseError, rotation::RotateKeysCommand, service};
use uuid::Uuid;

use crate::{
    app::{DEFINITION, SEALED_TABLES},
    checkpoints::{Checkpoints, keys::CheckpointKeys},
    customers::Customers,
    outbox,
    settings::Settings,
};

/// Printed when the first key seals everything.
const CLOSING: &str = "and made the hashes of all customers. An older key with seals=0 may be removed from the ring when \
                       IDEMPOTENCY_KEEP_HOURS have passed since the services began to use the first key: until then, \
                       repeated calls are recognised by hashes under the older one.";

/// The same with `--count-only`, which does not look at hashes.
const COUNTED: &str = "now. Without --count-only the command also makes the hashes of customers anew.";

/// Runs the command on the database of the settings, and returns the exit code of the process.
pub async fn run(command: RotateKeysCommand, settings: &Settings) -> ExitCode {
    let mut failed = 0;
    if !command.count_only {
        let mut is_done = false;
        let code = service::on_database(&DEFINITION, &settings.common, async |open| {
            let (database, clock, keys) = (open.database.clone(), settings.clock, CheckpointKeys::of(&open.keys));
            resign(&Checkpoints { database, clock, keys }).await?;
            let outbox = outbox::open(open.database.clone(), settings);
            let customers = Customers::new(open.database.clone(), &open.keys, clock, outbox);
            failed = rehash(&customers, &command).await?;
            is_done = true;
            Ok::<_, DatabaseError>(())
        })
        .await;
        if !is_done {
            return code;
        }
    }
    let closing = if command.count_only { COUNTED } else { CLOSING };
    command.run(&DEFINITION, &settings.common, &SEALED_TABLES, closing, failed).await
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

/// Returns the number of customers whose hashes could not be made anew.
async fn rehash(customers: &Customers, command: &RotateKeysCommand) -> Result<u64, DatabaseError> {
    let (mut after, mut done, mut failed) = (Some(Uuid::nil()), 0, 0);
    while let Some(id) = after {
        let page = customers.rehash_customers(id).await?;
        for (customer_id, fault) in page.failed {
            println!("NOT_ROTATED table=customers key={customer_id}: {}", error_chain(&fault));
            failed += 1;
        }
        (done, after) = (done + page.done, page.next);
        if after.is_some() {
            tokio::time::sleep(command.time_of_page()).await;
        }
    }
    eprintln!("customers: {done} hashed anew");
    Ok(failed)
}
