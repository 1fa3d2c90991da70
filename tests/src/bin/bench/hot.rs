//! The hot calls: every case by every side in turn, and what a service costs when nobody calls it.

use teppan_tests::{launch::Which, tool::machine};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    case::{Case, Run, With},
    comparison::{self, Comparison},
    error::BenchError,
    load::{self, Clients},
    measured::Measured,
    report::{EmptyCall, HotReport, ServiceFigures},
    rounds::{self, Round, Rounds, Watch},
    sample::Spread,
    side::Side,
    stage::Served,
};

/// How often the time to SERVING is taken.
const STARTS: usize = 5;
/// Clients of the empty call.
const EMPTY_CALL_CLIENTS: [usize; 3] = [1, 8, 32];

/// Everything about the hot calls, printed as it comes.
pub async fn measure(cases: &[Case], rounds: usize, quick: bool, with: &With<'_>) -> Result<HotReport, BenchError> {
    println!("An empty call (health) through gRPC, once:");
    let empty_calls = empty_calls(with).await?;
    println!("\n{}", comparison::heading());
    let mut reports = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let first_run = number * rounds::most(rounds);
        let sides = case.sides();
        let round = async |round: Round| all_sides(case, &sides, Run(first_run + round.number), round, with).await;
        let subject = case.subject();
        let measured = Rounds::make(&subject.name, rounds, &Watch::over(with.server), round).await?;
        let names: Vec<_> = sides.iter().map(|side| side.name()).collect();
        let Some(report) = Comparison::new(subject, &names, case.targets(), &measured) else { continue };
        println!("{report}");
        reports.push(report);
    }
    println!("Services:");
    let starts = if quick { 1 } else { STARTS };
    let services = vec![
        service_figures(Which::Booking, &with.stage.booking, starts).await?,
        service_figures(Which::Conversation, &with.stage.conversation, starts).await?,
    ];
    Ok(HotReport { services, empty_calls, cases: reports })
}

/// One round: every side once. Every other round begins with the last one, so that what drifts, such as the machine's
/// clock rate, favours none.
pub async fn all_sides(
    case: &Case,
    sides: &[Side],
    run: Run,
    round: Round,
    with: &With<'_>,
) -> Result<Vec<Measured>, BenchError> {
    let is_reversed = !round.place.is_multiple_of(2);
    let mut order = sides.to_vec();
    if is_reversed {
        order.reverse();
    }
    let mut measured = Vec::new();
    for side in order {
        measured.push(case.measure(side, run, with).await?);
    }
    if is_reversed {
        measured.reverse();
    }
    Ok(measured)
}

/// Health is asked like any other call, and does nothing: what is left is gRPC.
async fn empty_calls(with: &With<'_>) -> Result<Vec<EmptyCall>, BenchError> {
    let address = with.stage.booking.process.grpc;
    let call = async |channel| {
        HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
        Ok(())
    };
    let mut measured = Vec::new();
    for count in EMPTY_CALL_CLIENTS {
        let clients = Clients { count, connections: with.connections };
        let sample = load::run(address, clients, with.timing, call).await?;
        let empty = EmptyCall { clients: count, figures: sample.figures() };
        print!("{empty}");
        measured.push(empty);
    }
    Ok(measured)
}

async fn service_figures(which: Which, served: &Served, starts: usize) -> Result<ServiceFigures, BenchError> {
    let mut serving_ms = Vec::new();
    for _ in 0..starts {
        serving_ms.push(served.time_to_serving(which).await?.as_secs_f64() * 1000.0);
    }
    let figures = ServiceFigures {
        name: served.name,
        idle_mb: served.idle_mb,
        after_load_mb: served.process.id().and_then(machine::resident_mb),
        serving_ms: Spread::of(serving_ms),
    };
    print!("{figures}");
    Ok(figures)
}
