//! What was measured, to read and as JSON.

pub mod folder;
mod plots;

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{
    comparison::Comparison,
    environment::Environment,
    error::BenchError,
    rounds::{Disturbance, OTHERS_PERCENT_MAX, STOLEN_PERCENT_MAX, Taken},
    sample::{Figures, Spread},
    sizes::SizedReport,
};

/// The whole run.
#[derive(Serialize)]
pub struct Report {
    pub environment: Environment,
    #[serde(flatten)]
    pub hot: Option<HotReport>,
    pub batches: Vec<Comparison>,
    pub floors: Vec<Comparison>,
    pub open_loop: Vec<Comparison>,
    pub distances: Vec<Comparison>,
    pub sizes: Vec<SizedReport>,
    pub beside: Vec<Comparison>,
    pub rotation: Vec<Comparison>,
    /// What others took of the machine's time during the run. It makes everything slower, and ratios less certain.
    pub taken: Option<Taken>,
}

/// The hot calls.
#[derive(Serialize)]
pub struct HotReport {
    pub services: Vec<ServiceFigures>,
    pub empty_calls: Vec<EmptyCall>,
    pub cases: Vec<Comparison>,
}

/// What a service costs when nobody calls it.
#[derive(Serialize)]
pub struct ServiceFigures {
    pub name: &'static str,
    pub idle_mb: Option<f64>,
    pub after_load_mb: Option<f64>,
    pub serving_ms: Option<Spread>,
}

/// A call that does nothing: what gRPC itself costs.
#[derive(Serialize)]
pub struct EmptyCall {
    pub clients: usize,
    #[serde(flatten)]
    pub figures: Figures,
}

impl Report {
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            hot: None,
            batches: Vec::new(),
            floors: Vec::new(),
            open_loop: Vec::new(),
            distances: Vec::new(),
            sizes: Vec::new(),
            beside: Vec::new(),
            rotation: Vec::new(),
            taken: None,
        }
    }

    /// Prints how disturbed the run was, and writes everything to what was asked for.
    pub fn finish(&self, json: Option<&Path>, folder: Option<&Path>) -> Result<(), BenchError> {
        println!("{}", self.disturbance());
        if let Some(path) = json {
            std::fs::write(path, self.to_json().map_err(BenchError::file(path))?).map_err(BenchError::file(path))?;
        }
        folder.map_or(Ok(()), |folder| folder::write(self, folder))
    }

    fn to_json(&self) -> Result<Vec<u8>, std::io::Error> {
        serde_json::to_vec_pretty(self).map_err(std::io::Error::other)
    }

    /// Every comparison: of the hot calls, StoreMessages, the open loops, the distances, the builds and the rotation.
    pub fn comparisons(&self) -> impl Iterator<Item = &Comparison> {
        let hot = self.hot.iter().flat_map(|hot| &hot.cases);
        let near = hot.chain(&self.batches).chain(&self.floors).chain(&self.open_loop);
        near.chain(&self.distances).chain(&self.beside).chain(&self.rotation)
    }

    pub fn all_met(&self) -> bool {
        self.comparisons().all(Comparison::all_met) && self.sizes.iter().all(SizedReport::all_met)
    }

    /// Whether the machine had time for the run, in words.
    pub fn disturbance(&self) -> String {
        let rounds = self.comparisons().map(|it| it.disturbance).chain(self.sizes.iter().map(|it| it.disturbance));
        let counted: usize = rounds.map(|Disturbance { counted, .. }| counted).sum();
        let Some(Taken { stolen_percent, others_percent }) = self.taken else {
            return "How much of the machine's time others took is not known.".to_owned();
        };
        let is_disturbed = counted > 0 || stolen_percent > STOLEN_PERCENT_MAX || others_percent > OTHERS_PERCENT_MAX;
        format!(
            "{}Other programs took {others_percent:.0} % of this machine's processor time during the run, and other \
             machines {stolen_percent:.0} % of its host's; {counted} disturbed rounds are counted.",
            if is_disturbed { "THE MACHINE WAS DISTURBED: its figures are uncertain. " } else { "" }
        )
    }
}

impl fmt::Display for ServiceFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |mb: Option<f64>| mb.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.1} MB"));
        write!(f, "  {:<21} {} idle (target: under 40 MB)", self.name, mb(self.idle_mb))?;
        if let Some(after) = self.after_load_mb {
            write!(f, ", {} after the load", mb(Some(after)))?;
        }
        if let Some(serving) = &self.serving_ms {
            write!(
                f,
                "; SERVING {:.0} [{:.0} – {:.0}] ms after its start (target: well under 1,000)",
                serving.median, serving.min, serving.max
            )?;
        }
        writeln!(f)
    }
}

impl fmt::Display for EmptyCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { p50_ms, p99_ms, per_second, .. } = self.figures;
        let clients = self.clients;
        writeln!(f, "  clients: {clients:>2}, p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, {per_second:.0} calls/s")
    }
}
