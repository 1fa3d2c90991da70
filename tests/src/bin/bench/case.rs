//! The cases: one call through gRPC beside one statement through pgbench.

use std::time::Duration;

use serde::Serialize;
use sqlx::Connection as _;
use teppan_shared::embedded::ThrowawayServer;
use teppan_tests::tool::machine;

use crate::{
    create_booking,
    error::BenchError,
    load::{self, Clients},
    pgbench::Pgbench,
    sample::{Figures, Sample, Timing, to_f64},
    stage::{Served, Side, Stage},
    store_message,
};

/// A hot call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    StoreMessage,
    CreateBooking,
}

/// Whether the clients spread over many slots or conversations, or all want the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Many,
    One,
}

/// What a ratio of gRPC to pgbench is to reach.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    P50AtMost(f64),
    PerSecondAtLeast(f64),
}

/// One row of the report.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    call: Call,
    rows: Rows,
    pub clients: usize,
    pub target: Option<Target>,
}

/// All of them, in the order of the report.
pub fn all() -> Vec<Case> {
    use {
        Call::{CreateBooking, StoreMessage},
        Rows::{Many, One},
        Target::{P50AtMost, PerSecondAtLeast},
    };

    let case = |call, rows, clients, target| Case { call, rows, clients, target };
    vec![
        case(StoreMessage, Many, 1, Some(P50AtMost(1.6))),
        case(StoreMessage, Many, 8, None),
        case(StoreMessage, Many, 32, Some(PerSecondAtLeast(0.65))),
        case(StoreMessage, One, 32, None),
        case(CreateBooking, Many, 1, Some(P50AtMost(1.6))),
        case(CreateBooking, Many, 8, None),
        case(CreateBooking, Many, 32, Some(PerSecondAtLeast(0.65))),
        case(CreateBooking, One, 32, Some(PerSecondAtLeast(1.2))),
    ]
}

/// The number of a measurement in this run of the tool: keeps the ids of different ones apart.
#[derive(Debug, Clone, Copy)]
pub struct Run(pub usize);

/// No measurement comes to this many ids.
const IDS_A_RUN: usize = 1 << 28;
/// More clients than any case has.
const CLIENTS_MAX: usize = 64;

impl Run {
    /// Where pgbench's variable `n` begins.
    pub fn first_id(self) -> String {
        ((self.0 + 1) * IDS_A_RUN).to_string()
    }
}

/// Sets pgbench's variable `id`: all clients' ids rise side by side, like those made by the clock.
pub fn new_id() -> String {
    format!("\\set n :n + {CLIENTS_MAX}\n\\set id :n + :client_id\n")
}

/// One measurement of one side.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    #[serde(flatten)]
    pub figures: Figures,
    pub cpu: Option<CpuPerCall>,
}

/// Microseconds of processor time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CpuPerCall {
    pub service_us: f64,
    pub postgres_us: f64,
    /// The load generator, or pgbench.
    pub client_us: f64,
}

impl Case {
    pub fn name(&self) -> String {
        let (call, of) = match self.call {
            Call::StoreMessage => ("StoreMessage", "conversation"),
            Call::CreateBooking => ("CreateBooking", "slot"),
        };
        let rows = match self.rows {
            Rows::Many => format!("many {of}s"),
            Rows::One => format!("one {of}"),
        };
        let s = if self.clients == 1 { "" } else { "s" };
        format!("{call}, {} client{s}, {rows}", self.clients)
    }

    /// Measures one side once, and checks that all its calls were written.
    pub async fn measure(&self, side: Side, run: Run, with: &With<'_>) -> Result<Measured, BenchError> {
        let served = self.served(with.stage);
        served.settle().await?;
        let written = self.written(side, with.stage).await?;
        let cpu = Cpu::now(served, &with.stage.server);
        let sample = match side {
            Side::Pgbench => self.through_pgbench(run, with).await?,
            Side::Grpc => self.through_grpc(run, with).await?,
        };
        let cpu =
            cpu.zip(Cpu::now(served, &with.stage.server)).map(|(before, after)| before.until(&after, sample.calls));
        let written = self.written(side, with.stage).await? - written;
        if u64::try_from(written) != Ok(sample.calls) {
            return Err(BenchError::Unequal { what: self.name(), calls: sample.calls, written });
        }
        Ok(Measured { figures: sample.figures(), cpu })
    }

    fn served<'a>(&self, stage: &'a Stage) -> &'a Served {
        match self.call {
            Call::StoreMessage => &stage.conversation,
            Call::CreateBooking => &stage.booking,
        }
    }

    async fn through_grpc(&self, run: Run, with: &With<'_>) -> Result<Sample, BenchError> {
        let address = self.served(with.stage).process.grpc;
        let clients = Clients { count: self.clients, connections: with.connections };
        match self.call {
            Call::StoreMessage => {
                let target = store_message::Target::new(Side::Grpc, self.rows, run);
                load::run(address, clients, with.timing, move |channel| target.clone().call(channel)).await
            }
            Call::CreateBooking => {
                let target = create_booking::Target::new(with.stage, Side::Grpc, self.rows, run);
                load::run(address, clients, with.timing, move |channel| target.clone().call(channel)).await
            }
        }
    }

    async fn through_pgbench(&self, run: Run, with: &With<'_>) -> Result<Sample, BenchError> {
        let script = match self.call {
            Call::StoreMessage => store_message::Target::new(Side::Pgbench, self.rows, run).script(),
            Call::CreateBooking => create_booking::Target::new(with.stage, Side::Pgbench, self.rows, run).script(),
        };
        with.pgbench.run(&script, &self.served(with.stage).url, self.clients, with.timing).await
    }

    /// What a side has written up to now.
    async fn written(&self, side: Side, stage: &Stage) -> Result<i64, BenchError> {
        let (query, whose) = match self.call {
            Call::StoreMessage => (store_message::WRITTEN, store_message::prefix(side)),
            Call::CreateBooking => (create_booking::WRITTEN, stage.venue(side)),
        };
        let mut connection = self.served(stage).connect().await?;
        let written = sqlx::query_scalar(query).bind(whose).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(written)
    }
}

/// What all measurements share.
pub struct With<'a> {
    pub stage: &'a Stage,
    pub pgbench: &'a Pgbench,
    pub timing: Timing,
    /// HTTP/2 connections of the load generator.
    pub connections: usize,
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
