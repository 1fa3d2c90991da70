//! The calls whose cost could grow with the tables: each beside its bare statement, in databases of
//! several sizes that take turns.

mod batch_check;
mod create_and_cancel;
mod database;
mod list_availability;
mod list_bookings;
mod messages;
mod report;
mod seed;

use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::tool::Interrupt;

use self::database::Database;
use self::report::AtAllSizes;
pub use self::report::{AtSize, SizedReport};
use crate::{
    case::Run,
    error::BenchError,
    load::{self, Clients},
    measured::{Cpu, Measured},
    pgbench::{Pgbench, Script},
    rounds::{self, Round, Rounds, Watch},
    sample::{Sample, Timing},
    side::Side,
};

/// A call that is measured at each size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizedCall {
    ListAvailability,
    BatchCheckAvailability,
    ListBookings,
    /// Last: the tables are tidied up after it, but its dead rows have been there.
    CreateAndCancel,
    StoreMessage,
}

impl SizedCall {
    pub const ALL: [Self; 5] = [
        Self::ListAvailability,
        Self::BatchCheckAvailability,
        Self::ListBookings,
        Self::CreateAndCancel,
        Self::StoreMessage,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ListAvailability => "ListAvailability, 1 client, 90 days of 17 slots",
            Self::BatchCheckAvailability => "BatchCheckAvailability, 1 client, 500 slots",
            Self::ListBookings => "ListBookings, 1 client, 50 of a venue",
            Self::CreateAndCancel => "CreateBooking + CancelBooking, 1 client, any slot",
            Self::StoreMessage => "StoreMessage, 1 client, any conversation",
        }
    }
}

/// What is measured, and how.
pub struct Plan<'a> {
    pub calls: Vec<SizedCall>,
    /// Bookings of each database, ascending.
    pub bookings: Vec<u32>,
    /// The same for the messages of StoreMessage.
    pub messages: Vec<u32>,
    pub rounds: usize,
    pub timing: Timing,
    pub pgbench: &'a Pgbench,
}

/// Makes the databases, and measures; `None` if the user interrupted it.
pub async fn measure(
    plan: &Plan<'_>,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Vec<SizedReport>>, BenchError> {
    println!("{}", report::heading(plan));
    let (of_messages, of_bookings): (Vec<_>, Vec<_>) =
        plan.calls.iter().copied().partition(|call| *call == SizedCall::StoreMessage);
    let mut reports = Vec::new();
    if !of_bookings.is_empty() {
        let Some(measured) = measure_bookings(plan, of_bookings, server, interrupt).await? else { return Ok(None) };
        reports.extend(measured);
    }
    if !of_messages.is_empty() {
        let Some(measured) = messages::measure(plan, server, interrupt).await? else { return Ok(None) };
        reports.extend(measured);
    }
    Ok(Some(reports))
}

async fn measure_bookings(
    plan: &Plan<'_>,
    calls: Vec<SizedCall>,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Vec<SizedReport>>, BenchError> {
    let mut databases = Vec::new();
    let measuring = async {
        for &bookings in &plan.bookings {
            databases.push(Database::make(server, bookings).await?);
        }
        let mut reports = Vec::new();
        for (number, call) in calls.into_iter().enumerate() {
            let first_run = number * rounds::most(plan.rounds);
            let once =
                async |side, run, database: &Database| measure_once(call, side, run, plan, server, database).await;
            reports.extend(
                rounds_of(call, ("bookings", &plan.bookings), first_run, plan, server, (&databases, once)).await?,
            );
        }
        Ok(reports)
    };
    let measured = interrupt.unless_interrupted(Box::pin(measuring)).await;
    for database in databases {
        database.served.process.stop().await;
    }
    measured.transpose()
}

/// All rounds of a call, printed. In each, every size has its turn, and at each size first one side, then the other.
async fn rounds_of<D>(
    call: SizedCall,
    (what, sizes): (&'static str, &[u32]),
    first_run: usize,
    plan: &Plan<'_>,
    server: &ThrowawayServer,
    (databases, once): (&[D], impl AsyncFn(Side, Run, &D) -> Result<Measured, BenchError>),
) -> Result<Option<SizedReport>, BenchError> {
    let round = async |round: Round| {
        let run = Run(first_run + round.number);
        // What drifts, such as the machine's clock rate, favours neither size.
        let mut order: Vec<_> = databases.iter().collect();
        if round.place % 2 == 1 {
            order.reverse();
        }
        let mut measured = AtAllSizes::new();
        for database in order {
            measured.push((once(Side::Pgbench, run, database).await?, once(Side::Teppan, run, database).await?));
        }
        if round.place % 2 == 1 {
            measured.reverse();
        }
        Ok(measured)
    };
    let rounds = Rounds::make(call.name(), plan.rounds, &Watch::over(server), round).await?;
    let report = SizedReport::new(call.name(), what, sizes, &rounds);
    if let Some(report) = &report {
        println!("{report}");
    }
    Ok(report)
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
        Side::Floor | Side::Plain | Side::Teppan => through_grpc(call, plan, database).await?,
    };
    let cpu = before.zip(Cpu::now(served, postgres)).map(|(before, after)| before.until(&after, sample.calls));
    if call == SizedCall::CreateAndCancel {
        let written = seed::tidy(served, &database.contents).await?;
        if u64::try_from(written) != Ok(sample.calls) {
            return Err(BenchError::Unequal { what: call.name().to_owned(), calls: sample.calls, written });
        }
    }
    Ok(Measured { cpu, ..sample.figures().into() })
}

fn script(call: SizedCall, run: Run, Database { contents, .. }: &Database) -> Script {
    match call {
        SizedCall::ListAvailability => list_availability::script(contents),
        SizedCall::BatchCheckAvailability => batch_check::script(),
        SizedCall::ListBookings => list_bookings::script(contents),
        SizedCall::CreateAndCancel | SizedCall::StoreMessage => create_and_cancel::script(contents, run),
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
        SizedCall::CreateAndCancel | SizedCall::StoreMessage => {
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
