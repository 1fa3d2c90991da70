//! What can be chosen.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::sample::Timing;

/// Measures the services beside pgbench and beside a plain service.
///
/// The hot calls, by 1 to 128 clients, four ways in turn: a bare INSERT through pgbench as the floor, the service's own
/// statement through pgbench, the plain service (a pool, and a transaction with a statement for each step), and the
/// service. That all calls were written is checked after each measurement. Then both services in an open loop at 50 to
/// 150 % of their peak, with latencies that count from when a call was to begin; both with the database at several
/// distances; and calls on small and on large tables, in databases that take turns.
///
/// Everything runs as processes of its own on one PostgreSQL, whose commits wait for the disk, whose shared buffers are
/// 1 GB, and which is gone afterwards. A round during which other programs, or the machine's host, took much of the
/// machine's time is made again, up to a third more rounds; where these are disturbed too, the report says so.
///
/// Filling a database with 1,000,000 bookings takes one to three minutes and 4 GB of disk, with 10,000,000 messages
/// about five minutes and 7 GB.
///
/// Settings of the services, such as DATABASE_MAX_CONNECTIONS, are taken from the environment.
#[derive(Parser)]
#[command(name = "bench")]
pub struct Cli {
    /// How often each side is measured: the more often they take turns, the less a busy machine matters. Distances and
    /// open loops take half as many
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Seconds that one measurement counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10))]
    seconds: u64,
    /// Seconds before that in which calls are made but not counted
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=10))]
    pub warm_up_seconds: u64,
    /// Only the cases whose name contains this, such as `CreateBooking, 1 client`, `open loop` or `5 ms away`; may be
    /// given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Bookings in the databases of the calls that could grow with them
    #[arg(long, value_name = "COUNT,COUNT", value_delimiter = ',', default_value = "10000,1000000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    sizes: Vec<u32>,
    /// Messages in the databases of StoreMessage
    #[arg(long, value_name = "COUNT,COUNT", value_delimiter = ',', default_value = "10000,1000000", value_parser = clap::value_parser!(u32).range(20..=10_000_000))]
    messages: Vec<u32>,
    /// Measure the services of the binaries in this folder beside those of this build, and nothing else
    #[arg(long, value_name = "FOLDER")]
    pub beside: Option<PathBuf>,
    /// Seal so many messages, measure StoreMessage beside their rotation to another key, and nothing else
    #[arg(
        long,
        value_name = "MESSAGES",
        conflicts_with = "beside",
        value_parser = clap::value_parser!(u32).range(100..=10_000_000)
    )]
    pub rotation: Option<u32>,
    /// How far the database is away, in milliseconds of a round trip
    #[arg(long, value_name = "MS,MS", value_delimiter = ',', default_value = "0,1,5,40", value_parser = clap::value_parser!(u64).range(0..=1000))]
    distances: Vec<u64>,
    /// One round of one second, and small databases: to see that everything works
    #[arg(long)]
    pub quick: bool,
    /// HTTP/2 connections of the load generator, at most
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub http2_connections: u16,
    /// Write everything that was measured to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write tables, plots and JSON into this folder
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    pub strict: bool,
    /// Folder of the project's tools; the database is made in it for the time of the run
    #[arg(long, env = "TEPPAN_HOME", default_value = ".teppan", value_name = "PATH")]
    pub teppan_home: PathBuf,
}

/// Sizes where it only matters that everything works.
const QUICK_SIZES: [u32; 2] = [200, 400];

impl Cli {
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.into() }
    }

    /// Of measurements that take longer.
    pub fn fewer_rounds(&self) -> usize {
        self.rounds().div_ceil(2)
    }

    pub fn timing(&self) -> Timing {
        let seconds = if self.quick { 1 } else { self.seconds };
        Timing { warm_up: Duration::from_secs(self.warm_up_seconds), counted: Duration::from_secs(seconds) }
    }

    pub fn distances(&self) -> Vec<Duration> {
        self.distances.iter().copied().map(Duration::from_millis).collect()
    }

    pub fn booking_sizes(&self) -> Vec<u32> {
        self.ascending(&self.sizes)
    }

    pub fn message_sizes(&self) -> Vec<u32> {
        self.ascending(&self.messages)
    }

    fn ascending(&self, sizes: &[u32]) -> Vec<u32> {
        let mut sizes = if self.quick { QUICK_SIZES.to_vec() } else { sizes.to_vec() };
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Whether a case of this name is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| name.contains(pattern.as_str()))
    }

    /// What `--only` asks for, for an error.
    pub fn patterns(&self) -> String {
        self.only.join(" or ")
    }
}
