//! Calls that begin at a fixed rate, whatever becomes of earlier ones: parts of the peak and more than it.

pub mod load;

use std::{net::SocketAddr, time::Duration};

use crate::{
    case::{Call, Case, Rows, Run, With},
    comparison::{Comparison, Subject},
    create_booking,
    error::BenchError,
    measured::Measured,
    open_loop::load::{Opened, open},
    rounds::{Round, Rounds, Watch},
    sample::Timing,
    side::Side,
    store_message,
};

/// A call at a share of the peak.
#[derive(Debug, Clone, Copy)]
pub struct OpenCase {
    pub call: Call,
    percent: u32,
}

const CALLS: [Call; 2] = [Call::StoreMessage, Call::CreateBooking];
const PERCENTS: [u32; 4] = [50, 80, 100, 150];
const SIDES: [Side; 2] = [Side::Plain, Side::Teppan];
/// The best of these closed loops is a side's peak.
const PEAK_CLIENTS: [usize; 2] = [32, 128];
/// Calls that wait in a queue are not seen in one second.
const COUNTED_SECONDS_MIN: u64 = 2;

impl OpenCase {
    pub fn all() -> Vec<Self> {
        CALLS.into_iter().flat_map(|call| PERCENTS.map(|percent| Self { call, percent })).collect()
    }

    pub fn subject(self) -> Subject {
        let (call, percent) = (self.call.name(), self.percent);
        Subject {
            name: format!("{call}, open loop, {percent} % of the peak"),
            group: format!("{call}, open loop"),
            x: percent.into(),
        }
    }
}

/// What is measured, and how.
pub struct Plan<'a> {
    pub cases: Vec<OpenCase>,
    pub rounds: usize,
    pub quick: bool,
    pub with: &'a With<'a>,
}

/// Measures the peaks, then all shares of them, printed as they come.
pub async fn measure(plan: &Plan<'_>) -> Result<Vec<Comparison>, BenchError> {
    let mut reports = Vec::new();
    for (number, call) in CALLS.into_iter().enumerate() {
        let cases: Vec<_> = plan.cases.iter().filter(|case| case.call == call).collect();
        if cases.is_empty() {
            continue;
        }
        let mut peaks = Vec::new();
        for side in SIDES {
            peaks.push(peak(call, side, number, plan.with).await?);
        }
        let each: Vec<_> = SIDES.iter().zip(&peaks).map(|(side, peak)| format!("{} {peak:.0}", side.name())).collect();
        println!("{}, closed loop: peaks of {} calls/s", call.name(), each.join(" and "));
        for case in cases {
            let round = async |round: Round| both_sides(case, &peaks, round, plan).await;
            let subject = case.subject();
            let rounds = Rounds::make(&subject.name, plan.rounds, &Watch::over(plan.with.server), round).await?;
            if let Some(report) = Comparison::new(subject, &SIDES.map(Side::name), Vec::new(), &rounds) {
                println!("{report}");
                reports.push(report);
            }
        }
    }
    Ok(reports)
}

/// Runs of the open loops and their peaks: apart from those of the hot calls on the same stage.
const FIRST_RUN: usize = 1_000;

async fn peak(call: Call, side: Side, number: usize, with: &With<'_>) -> Result<f64, BenchError> {
    let mut best = 0.0_f64;
    for clients in PEAK_CLIENTS {
        let case = Case { call, rows: Rows::Many, clients };
        let measured = case.measure(side, Run(FIRST_RUN + number), with).await?;
        best = best.max(measured.figures.per_second);
    }
    Ok(best)
}

async fn both_sides(
    case: &OpenCase,
    peaks: &[f64],
    round: Round,
    plan: &Plan<'_>,
) -> Result<Vec<Measured>, BenchError> {
    let is_reversed = !round.place.is_multiple_of(2);
    let mut order: Vec<_> = SIDES.into_iter().zip(peaks.iter().copied()).collect();
    if is_reversed {
        order.reverse();
    }
    let mut measured = Vec::new();
    for (side, peak) in order {
        let served = plan.with.stage.served(case.call, side);
        served.settle().await?;
        let rate = (peak * f64::from(case.percent) / 100.0).max(1.0);
        let opened = offer(case.call, side, served.process.grpc, rate, plan).await?;
        measured.push(Measured { figures: opened.figures, cpu: None, open: Some(opened.open) });
    }
    if is_reversed {
        measured.reverse();
    }
    Ok(measured)
}

async fn offer(call: Call, side: Side, address: SocketAddr, rate: f64, plan: &Plan<'_>) -> Result<Opened, BenchError> {
    let counted = plan.with.timing.counted;
    let counted = if plan.quick { counted } else { counted.max(Duration::from_secs(COUNTED_SECONDS_MIN)) };
    let timing = Timing { counted, ..plan.with.timing };
    let run = Run(FIRST_RUN);
    match call {
        Call::StoreMessage => {
            let target = store_message::Target::new(side, Rows::Many, run);
            open(address, rate, timing, move |timeout, channel| target.clone().call_within(timeout, channel)).await
        }
        Call::CreateBooking | Call::ListAvailability | Call::SuggestSlots => {
            let target = create_booking::Target::new(plan.with.stage, side, Rows::Many, run);
            open(address, rate, timing, move |timeout, channel| target.clone().call_within(timeout, channel)).await
        }
    }
}
