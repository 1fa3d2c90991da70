//! Under what conditions it was measured.

use std::{fmt, fs};

use chrono::{DateTime, SubsecRound as _, Utc};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use teppan_shared::embedded::ThrowawayServer;

use crate::{cli::Cli, error::BenchError, pgbench::Pgbench};

#[derive(Serialize)]
pub struct Environment {
    pub date: DateTime<Utc>,
    pub teppan: &'static str,
    pub machine: Machine,
    pub postgres: String,
    pub pgbench: String,
    pub fsync: String,
    pub synchronous_commit: String,
    pub durable: bool,
    pub optimised: bool,
    pub rounds: usize,
    pub seconds: u64,
    pub warm_up_seconds: u64,
    pub http2_connections: usize,
    pub max_connections: String,
}

/// What Linux says about the machine; empty or 0 elsewhere.
#[derive(Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
}

impl Machine {
    fn read() -> Self {
        let field = |path: &str, name: &str| -> Option<String> {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib = memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib.unwrap_or_default() / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

impl Environment {
    pub async fn read(cli: &Cli, pgbench: &Pgbench, server: &ThrowawayServer) -> Result<Self, BenchError> {
        let mut connection = PgConnection::connect(server.url("postgres").expose_secret()).await?;
        let mut setting = async |name: &str| -> Result<String, BenchError> {
            Ok(sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut connection).await?)
        };
        let fsync = setting("fsync").await?;
        let synchronous_commit = setting("synchronous_commit").await?;
        let version = setting("server_version").await?;
        connection.close().await?;
        Ok(Self {
            date: Utc::now().trunc_subsecs(0),
            teppan: booking_service::app::VERSION,
            machine: Machine::read(),
            postgres: format!("PostgreSQL {version}"),
            pgbench: pgbench.version().await?,
            durable: fsync == "on" && synchronous_commit == "on",
            fsync,
            synchronous_commit,
            optimised: !cfg!(debug_assertions),
            rounds: cli.rounds(),
            seconds: cli.timing().counted.as_secs(),
            warm_up_seconds: cli.warm_up_seconds,
            http2_connections: cli.http2_connections.into(),
            max_connections: std::env::var("DATABASE_MAX_CONNECTIONS")
                .unwrap_or_else(|_| "the default number of".to_owned()),
        })
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, memory_mib, kernel } = &self.machine;
        let (fsync, commit) = (&self.fsync, &self.synchronous_commit);
        writeln!(f, "{}, Teppan {}, {}, {}", self.date.to_rfc3339(), self.teppan, self.postgres, self.pgbench)?;
        writeln!(f, "{processor}, {cores} cores for everything, {memory_mib} MiB, Linux {kernel}")?;
        if self.durable {
            writeln!(f, "Commits are durable: fsync {fsync}, synchronous_commit {commit}.")?;
        } else {
            writeln!(f, "COMMITS ARE NOT DURABLE: fsync {fsync}, synchronous_commit {commit}.")?;
        }
        if !self.optimised {
            writeln!(f, "THIS BUILD IS NOT OPTIMISED: its figures mean nothing (use `make bench`).")?;
        }
        writeln!(
            f,
            "Rounds in which the sides take turns: {}; {} s each after {} s of warm-up; before each, outside of the time: \
             VACUUM (ANALYZE), CHECKPOINT.",
            self.rounds, self.seconds, self.warm_up_seconds
        )?;
        writeln!(
            f,
            "gRPC: {} HTTP/2 connections at most, {} statement connections a service, also of the plain one. pgbench: \
             prepared, a connection a client.",
            self.http2_connections, self.max_connections
        )?;
        writeln!(
            f,
            "floor: a bare INSERT. pgbench: the service's own statement. plain: the plain service. Teppan: the service."
        )?;
        writeln!(f, "Figures are the median of the rounds [lowest – highest].")
    }
}
