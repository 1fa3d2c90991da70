//! The services and the plain service with the database at several distances, and how much the link to it can carry.

pub mod link;
mod link_limit;

use std::{net::SocketAddr, time::Duration};

use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::tool::Interrupt;

pub use self::link_limit::NAME as LINK;
use crate::{
    case::{Call, Case, Rows, Run, With},
    comparison::{self, Comparison, Subject},
    error::BenchError,
    hot,
    pgbench::Pgbench,
    rounds::{self, Round, Rounds, Watch},
    sample::Timing,
    side::Side,
    stage::Stage,
};

/// What is measured, and how.
pub struct Plan<'a> {
    /// Times of a round trip.
    pub distances: &'a [Duration],
    pub cases: Vec<FarCase>,
    /// Whether the link alone is measured too.
    pub link: bool,
    pub rounds: usize,
    pub timing: Timing,
    pub pgbench: &'a Pgbench,
    pub connections: usize,
}

/// A case at a distance.
#[derive(Debug, Clone, Copy)]
pub struct FarCase {
    case: Case,
    distance: Duration,
}

const CLIENTS: [usize; 2] = [1, 32];
const SIDES: [Side; 2] = [Side::Plain, Side::Teppan];

impl FarCase {
    pub fn all(distances: &[Duration]) -> Vec<Self> {
        let at = |distance: Duration| {
            let calls = [Call::StoreMessage, Call::CreateBooking];
            let cases =
                calls.into_iter().flat_map(|call| CLIENTS.map(|clients| Case { call, rows: Rows::Many, clients }));
            cases.map(move |case| Self { case, distance })
        };
        distances.iter().flat_map(|distance| at(*distance)).collect()
    }

    pub fn subject(&self) -> Subject {
        let s = if self.case.clients == 1 { "" } else { "s" };
        let group = format!("{}, {} client{s}, distant database", self.case.call.name(), self.case.clients);
        let ms = self.distance.as_millis();
        let name = format!("{}, {} client{s}, database {ms} ms away", self.case.call.name(), self.case.clients);
        Subject { name, group, x: distance_ms(self.distance) }
    }
}

/// Everything that was planned, printed as it comes; `None` if the user interrupted it. Each distance has services of its
/// own.
pub async fn measure(
    plan: &Plan<'_>,
    server: &ThrowawayServer,
    interrupt: &Interrupt,
) -> Result<Option<Vec<Comparison>>, BenchError> {
    println!("{}", comparison::heading());
    let mut reports = Vec::new();
    if plan.link {
        let measured = interrupt.unless_interrupted(link_limit::measure(plan, server)).await;
        let Some(measured) = measured.transpose()? else { return Ok(None) };
        reports.extend(measured);
    }
    for (number, distance) in plan.distances.iter().enumerate() {
        let cases: Vec<_> = plan.cases.iter().filter(|far| far.distance == *distance).collect();
        if cases.is_empty() {
            continue;
        }
        eprintln!("Starting the services, {} ms away from their database…", distance.as_millis());
        let prefix = format!("distance_{number}");
        let stage = interrupt.unless_interrupted(Stage::set(server, &prefix, through(server, *distance)?)).await;
        let Some(stage) = stage.transpose()? else { return Ok(None) };
        let measured = interrupt.unless_interrupted(measure_at(plan, server, &stage, &cases)).await;
        stage.clear().await;
        let Some(measured) = measured.transpose()? else { return Ok(None) };
        reports.extend(measured);
    }
    Ok(Some(reports))
}

async fn measure_at(
    plan: &Plan<'_>,
    server: &ThrowawayServer,
    stage: &Stage,
    cases: &[&FarCase],
) -> Result<Vec<Comparison>, BenchError> {
    let with = With { server, stage, pgbench: plan.pgbench, timing: plan.timing, connections: plan.connections };
    let mut reports = Vec::new();
    for (number, far) in cases.iter().enumerate() {
        let first_run = number * rounds::most(plan.rounds);
        let round =
            async |round: Round| hot::all_sides(&far.case, &SIDES, Run(first_run + round.number), round, &with).await;
        let subject = far.subject();
        let rounds = Rounds::make(&subject.name, plan.rounds, &Watch::over(server), round).await?;
        if let Some(report) = Comparison::new(subject, &SIDES.map(Side::name), Vec::new(), &rounds) {
            println!("{report}");
            reports.push(report);
        }
    }
    Ok(reports)
}

/// Where services reach a database at this distance; `None`: directly.
fn through(server: &ThrowawayServer, distance: Duration) -> Result<Option<SocketAddr>, BenchError> {
    if distance.is_zero() {
        return Ok(None);
    }
    let database = SocketAddr::from(([127, 0, 0, 1], server.port()));
    link::open(database, distance).map(Some).map_err(BenchError::file("a port of 127.0.0.1"))
}

/// A distance on the axis of a plot.
pub fn distance_ms(distance: Duration) -> f64 {
    distance.as_secs_f64() * 1000.0
}
