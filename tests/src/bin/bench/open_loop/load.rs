//! The open loop's load generator.
//!
//! Each call's latency counts from the moment at which it was to begin, also when the generator itself is late, so no
//! queue hides (coordinated omission).

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use teppan_tests::clients;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Code, transport::Channel};

use crate::{
    error::BenchError,
    measured::OpenFigures,
    sample::{Figures, Sample, Timing, to_f64},
};

/// Each connection is a client of its own for the service.
const CONNECTIONS: usize = 64;
/// How long a call may take: one that takes longer is of no use.
const DEADLINE: Duration = Duration::from_secs(1);

/// What became of the calls.
pub struct Opened {
    /// Of the calls that were served in time; a late one counts with the deadline as its latency, but not as a call.
    pub figures: Figures,
    pub open: OpenFigures,
}

enum Outcome {
    Ok,
    Refused,
    Late,
}

/// Begins calls at this rate, and waits for the last of them. A call that fails in another way than by being refused or
/// late ends it.
pub async fn open<F, R>(address: SocketAddr, rate: f64, timing: Timing, call: F) -> Result<Opened, BenchError>
where
    F: Fn(Duration, Channel) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    let channels: Vec<Channel> = (0..CONNECTIONS).map(|_| clients::channel(address)).collect();
    let begun = Instant::now();
    let mut due = schedule(begun, rate, timing.warm_up + timing.counted);
    let mut channels = channels.iter().cycle();
    let mut running = JoinSet::new();
    let mut tally = Tally { latencies: Sample::new(timing), offered: 0, ok: 0, refused: 0, late: 0 };
    while let Some(intended) = due.recv().await {
        let (Some(channel), call) = (channels.next().cloned(), call.clone()) else { break };
        running.spawn(async move { (intended, make(intended, call, channel).await) });
        while let Some(ended) = running.try_join_next() {
            let (intended, outcome) = ended?;
            tally.add(intended.saturating_duration_since(begun), outcome?, timing);
        }
    }
    while let Some(ended) = running.join_next().await {
        let (intended, outcome) = ended?;
        tally.add(intended.saturating_duration_since(begun), outcome?, timing);
    }
    Ok(tally.opened(timing))
}

/// The moments at which calls are to begin, each sent when it has come. A thread of its own waits for them, because
/// tokio's timer counts whole milliseconds.
fn schedule(begun: Instant, rate: f64, span: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for number in 0_u32.. {
            let after = Duration::from_secs_f64(f64::from(number) / rate);
            let intended = begun + after;
            thread::sleep(intended.saturating_duration_since(Instant::now()));
            if after >= span || sender.send(intended).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn make<F, R>(intended: Instant, call: F, channel: Channel) -> Result<(Outcome, Duration), BenchError>
where
    F: Fn(Duration, Channel) -> R,
    R: Future<Output = Result<(), BenchError>>,
{
    let deadline = intended + DEADLINE;
    let left = deadline.saturating_duration_since(Instant::now());
    let answer = tokio::time::timeout_at(deadline.into(), call(left, channel)).await;
    let took = intended.elapsed();
    Ok(match answer {
        Ok(Ok(())) if took <= DEADLINE => (Outcome::Ok, took),
        Ok(Ok(())) | Err(_) => (Outcome::Late, DEADLINE),
        Ok(Err(BenchError::Call(status))) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            (Outcome::Late, DEADLINE)
        }
        Ok(Err(error)) if error.retry_delay().is_some() => (Outcome::Refused, took),
        Ok(Err(error)) => return Err(error),
    })
}

struct Tally {
    latencies: Sample,
    offered: u64,
    ok: u64,
    refused: u64,
    late: u64,
}

impl Tally {
    /// Counts a call that was to begin this long after the start, but none of the warm-up.
    fn add(&mut self, intended: Duration, (outcome, took): (Outcome, Duration), timing: Timing) {
        if intended < timing.warm_up {
            return;
        }
        self.offered += 1;
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Late => self.late += 1,
            Outcome::Refused => {
                self.refused += 1;
                return;
            }
        }
        self.latencies.add(intended, took, timing);
    }

    fn opened(&self, timing: Timing) -> Opened {
        let seconds = timing.counted.as_secs_f64();
        let percent = |calls: u64| 100.0 * to_f64(calls) / to_f64(self.offered.max(1));
        Opened {
            figures: Figures { per_second: to_f64(self.ok) / seconds, ..self.latencies.figures() },
            open: OpenFigures {
                offered_per_second: to_f64(self.offered) / seconds,
                refused_percent: percent(self.refused),
                late_percent: percent(self.late),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_call_counts_in_the_latencies_and_not_in_the_goodput() {
        let timing = Timing { warm_up: Duration::from_secs(1), counted: Duration::from_secs(2) };
        let mut tally = Tally { latencies: Sample::new(timing), offered: 0, ok: 0, refused: 0, late: 0 };
        for (intended_ms, outcome, took_ms) in [
            (500, Outcome::Ok, 5),
            (1000, Outcome::Ok, 10),
            (2000, Outcome::Late, 1000),
            (2500, Outcome::Refused, 1),
            (2900, Outcome::Ok, 300),
        ] {
            let took = Duration::from_millis(took_ms);
            tally.add(Duration::from_millis(intended_ms), (outcome, took), timing);
        }
        let Opened { figures, open } = tally.opened(timing);
        assert!((figures.per_second - 1.0).abs() < 1e-9);
        assert!((open.offered_per_second - 2.0).abs() < 1e-9);
        assert_eq!((open.refused_percent, open.late_percent), (25.0, 25.0));
        assert!(figures.p99_ms > 999.0 && figures.p50_ms > 299.0);
    }
}
