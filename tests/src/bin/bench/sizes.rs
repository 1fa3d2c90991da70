//! The calls whose cost could grow with the tables: each beside its bare statement, in databases of
//! several sizes that take turns.

mod batch_check;
mod create_and_cancel;
mod database;
mod list_availability;
mod list_bookings;
mod report;
mod seed;

use std::path::Path;

use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::tool::Interrupt;

use self::database::Database;
use self::report::AtAllSizes;
pub use self::report::SizedReport;
use crate::{
    case::{Cpu, Measured, Run},
    error::BenchError,
    load::{self, Clients},
    pgbench::{Pgbench, Script},
    rounds::{self, Round, Rounds},
    sample::{Sample, Timing},
    server,
    stage::Side,
};

/// A call that is measured at each size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizedCall {
    ListAvailability,
    BatchCheckAvailability,
    ListBookings,
    /// Last: the tables are tidied up after it, but its dead rows have been there.
    CreateAndCancel,
}

impl SizedCall {
    pub const ALL: [Self; 4] =
        [Self::ListAvailability, Self::BatchCheckAvailability, Self::ListBookings, Self::CreateAndCancel];

    pub fn name(self) -> &'static str {
        match self {
            Self::ListAvailability => "ListAvailability, 1 client, 90 days of 17 slots",
            Self::BatchCheckAvailability => "BatchCheckAvailability, 1 client, 500 slots",
            Self::ListBookings => "ListBookings, 1 client, 50 of a venue",
            Self::CreateAndCancel => "CreateBooking + CancelBooking, 1 client, any slot",
        }
    }
}

/// What is measured, and how.
pub struct Plan<'a> {
    pub calls: Vec<SizedCall>,
    /// Bookings of each database, ascending.
    pub sizes: &'a [u32],
    pub rounds: usize,
    pub timing: Timing,
    pub pgbench: &'a Pgbench,
}

/// Makes the databases, measures, and removes them; `None` when it was told to stop.
pub async fn run(plan: &Plan<'_>, home: &Path, interrupt: &Interrupt) -> Result<Option<Vec<SizedReport>>, BenchError> {
    let Some(server) = interrupt.unless_interrupted(server::start(home)).await else {
        return Ok(None);
    };
    let server = server?;
    let mut databases = Vec::new();
    let made = interrupt.unless_interrupted(make_all(plan.sizes, &server, &mut databases)).await;
    let measured = match made {
        Some(Ok(())) => interrupt.unless_interrupted(measure(plan, &server, &databases)).await,
        Some(Err(error)) => Some(Err(error)),
        None => None,
    };
    for database in databases {
        database.served.process.stop().await;
    }
    server.close().await;
    measured.transpose()
}

async fn make_all(sizes: &[u32], postgres: &ThrowawayServer, made: &mut Vec<Database>) -> Result<(), BenchError> {
    for &bookings in sizes {
        made.push(Database::make(postgres, bookings).await?);
    }
    Ok(())
}

async fn measure(
    plan: &Plan<'_>,
    postgres: &ThrowawayServer,
    databases: &[Database],
) -> Result<Vec<SizedReport>, BenchError> {
    if cfg!(debug_assertions) {
        println!("THIS BUILD IS NOT OPTIMISED: its figures mean nothing (use `make bench`).");
    }
    println!("{}", report::heading(plan));
    let mut reports = Vec::new();
    for (number, &call) in plan.calls.iter().enumerate() {
        let Some(report) = rounds_of(call, number * rounds::most(plan.rounds), plan, postgres, databases).await? else {
            continue;
        };
        println!("{report}");
        reports.push(report);
    }
    Ok(reports)
}

/// All rounds of a call. In each, every size has its turn, and at each size first one side, then the other.
async fn rounds_of(
    call: SizedCall,
    first_run: usize,
    plan: &Plan<'_>,
    postgres: &ThrowawayServer,
    databases: &[Database],
) -> Result<Option<SizedReport>, BenchError> {
    let round = async |round: Round| {
        let run = Run(first_run + round.number);
        let side = async |side, database| measure_once(call, side, run, plan, postgres, database).await;
        // What drifts, such as the machine's clock rate, favours neither size.
        let mut order: Vec<_> = databases.iter().collect();
        if round.place % 2 == 1 {
            order.reverse();
        }
        let mut measured = AtAllSizes::new();
        for database in order {
            measured.push((side(Side::Pgbench, database).await?, side(Side::Grpc, database).await?));
        }
        if round.place % 2 == 1 {
            measured.reverse();
        }
        Ok(measured)
    };
    let rounds = Rounds::make(call.name(), plan.rounds, round).await?;
    Ok(SizedReport::new(call.name(), plan.sizes, &rounds))
}

/// Measures one side at one size. What it wrote is counted, and taken away again.
async fn measure_once(
    call: SizedCall,
    side: Side,
    run: Run,
    plan: &Plan<'_>,
    postgres: &ThrowawayServer,
    database: &Database,
) -> Result<Measured, BenchError> {
    let served = &database.served;
    let before = Cpu::now(served, postgres);
    let sample = match side {
        Side::Pgbench => {
            let script = script(call, run, database);
            plan.pgbench.run(&script, &served.url, 1, plan.timing).await?
        }
        Side::Grpc => through_grpc(call, plan, database).await?,
    };
    let cpu = before.zip(Cpu::now(served, postgres)).map(|(before, after)| before.until(&after, sample.calls));
    if call == SizedCall::CreateAndCancel {
        let written = seed::tidy(served, &database.contents).await?;
        if u64::try_from(written) != Ok(sample.calls) {
            return Err(BenchError::Unequal { what: call.name().to_owned(), calls: sample.calls, written });
        }
    }
    Ok(Measured { figures: sample.figures(), cpu })
}

fn script(call: SizedCall, run: Run, Database { contents, .. }: &Database) -> Script {
    match call {
        SizedCall::ListAvailability => list_availability::script(contents),
        SizedCall::BatchCheckAvailability => batch_check::script(),
        SizedCall::ListBookings => list_bookings::script(contents),
        SizedCall::CreateAndCancel => create_and_cancel::script(contents, run),
    }
}

async fn through_grpc(call: SizedCall, plan: &Plan<'_>, database: &Database) -> Result<Sample, BenchError> {
    let (address, contents, timing) = (database.served.process.grpc, database.contents, plan.timing);
    let clients = Clients { count: 1, connections: 1 };
    match call {
        SizedCall::ListAvailability => {
            load::run(address, clients, timing, move |channel| list_availability::call(contents, channel)).await
        }
        SizedCall::BatchCheckAvailability => {
            let requests = batch_check::requests(&contents);
            load::run(address, clients, timing, move |channel| batch_check::call(requests.clone(), channel)).await
        }
        SizedCall::ListBookings => {
            load::run(address, clients, timing, move |channel| list_bookings::call(contents, channel)).await
        }
        SizedCall::CreateAndCancel => {
            load::run(address, clients, timing, move |channel| create_and_cancel::call(contents, channel)).await
        }
    }
}

/// A number as people read it: 1,000,000.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_thousands() {
        assert_eq!([5, 999, 10_000, 1_000_000].map(grouped), ["5", "999", "10,000", "1,000,000"]);
    }
}
