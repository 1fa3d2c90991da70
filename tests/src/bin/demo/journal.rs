//! Prints the journey, and records the time of each step.

use std::time::{Duration, Instant};

pub use teppan_tests::tool::say;
use teppan_tests::tool::{Align, Screen, Table, describe_status, millis};
use tonic::{Response, Status};

/// A step had another result than expected.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {why}")]
pub struct Failed {
    pub step: &'static str,
    pub why: String,
}

impl Failed {
    pub fn new(step: &'static str, why: impl Into<String>) -> Self {
        Self { step, why: why.into() }
    }
}

/// One timed call.
struct Step {
    act: &'static str,
    call: &'static str,
    took: Duration,
}

/// Prints the steps of the journey, and collects them for the table at the end.
pub struct Journal {
    pub screen: Screen,
    act: &'static str,
    acts: u32,
    steps: Vec<Step>,
}

impl Journal {
    pub fn new(screen: Screen) -> Self {
        Self { screen, act: "", acts: 0, steps: Vec::new() }
    }

    pub fn title(&self, text: &str) {
        say(self.screen.bold(text));
    }

    pub fn heading(&self, text: &str) {
        say(format!("\n{}", self.screen.bold(text)));
    }

    /// Starts the next act. `act` names it in the table, `heading` on the screen.
    pub fn open_act(&mut self, act: &'static str, heading: &str) {
        self.acts += 1;
        self.act = act;
        self.heading(&format!("{}. {heading}", self.acts));
    }

    /// The name of the current act in the table.
    pub fn current_act(&self) -> &'static str {
        self.act
    }

    /// Records a step that is not a call.
    pub fn note(&mut self, act: &'static str, step: &'static str, took: Duration) {
        self.steps.push(Step { act, call: step, took });
    }

    /// Measures a call, whatever its result.
    pub async fn time<T>(
        &mut self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> (Result<T, Status>, Duration) {
        let started = Instant::now();
        let answer = answer.await;
        let took = started.elapsed();
        self.steps.push(Step { act: self.act, call, took });
        (answer.map(Response::into_inner), took)
    }

    /// Measures a call that must succeed.
    pub async fn call<T>(
        &mut self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<(T, Duration), Failed> {
        let (answer, took) = self.time(call, answer).await;
        answer.map(|answer| (answer, took)).map_err(|status| Failed::new(call, describe_status(&status)))
    }

    /// The steps by act and call, in the order of their first occurrence.
    pub fn table(&self) -> Table {
        let columns = [("step", Align::Left), ("call", Align::Left), ("calls", Align::Right)];
        let times = [("together", Align::Right), ("slowest", Align::Right)];
        let mut table = Table::new(columns.into_iter().chain(times));
        let mut shown: Vec<(&str, &str)> = Vec::new();
        for step in &self.steps {
            if shown.contains(&(step.act, step.call)) {
                continue;
            }
            let times = self.steps.iter().filter(|other| (other.act, other.call) == (step.act, step.call));
            let times: Vec<Duration> = times.map(|other| other.took).collect();
            let slowest = times.iter().max().copied().unwrap_or_default();
            let act = if shown.last().is_some_and(|(act, _)| *act == step.act) { "" } else { step.act };
            table.row([
                act.to_owned(),
                step.call.to_owned(),
                times.len().to_string(),
                millis(times.iter().sum()),
                millis(slowest),
            ]);
            shown.push((step.act, step.call));
        }
        table
    }
}
