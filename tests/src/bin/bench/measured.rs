//! One measurement of one side.

use std::time::Duration;

use serde::Serialize;
use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::tool::machine;

use crate::{
    sample::{Figures, to_f64},
    stage::Served,
};

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub figures: Figures,
    pub cpu: Option<CpuPerCall>,
    /// Only of an open loop.
    #[serde(flatten)]
    pub open: Option<OpenFigures>,
}

/// Microseconds of processor time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CpuPerCall {
    pub service_us: f64,
    pub postgres_us: f64,
    /// The load generator, or pgbench.
    pub client_us: f64,
}

/// What became of calls that began at a fixed rate. The others were served in time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OpenFigures {
    pub offered_per_second: f64,
    pub refused_percent: f64,
    /// Their deadline passed.
    pub late_percent: f64,
}

impl From<Figures> for Measured {
    fn from(figures: Figures) -> Self {
        Self { figures, cpu: None, open: None }
    }
}

/// Processor time up to now.
pub struct Cpu {
    service: Duration,
    postgres: Duration,
    client: Duration,
}

impl Cpu {
    pub fn now(served: &Served, postgres: &ThrowawayServer) -> Option<Self> {
        let me = std::process::id();
        Some(Self {
            service: machine::cpu_of(served.process.id()?)?,
            postgres: machine::cpu_of_children(postgres.pid()?)?,
            client: machine::cpu_of(me)? + machine::cpu_of_ended_children(me)?,
        })
    }

    pub fn until(&self, after: &Self, calls: u64) -> CpuPerCall {
        let per_call =
            |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / to_f64(calls.max(1));
        CpuPerCall {
            service_us: per_call(self.service, after.service),
            postgres_us: per_call(self.postgres, after.postgres),
            client_us: per_call(self.client, after.client),
        }
    }
}
