//! The faults of a run: the same seed plans the same ones.

use std::time::Duration;

use clap::ValueEnum;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde::Serialize;

/// What happens. Every fault is followed by its recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SIGKILL of a replica of booking-service
    KillBooking,
    /// SIGKILL of a replica of conversation-service
    KillConversation,
    /// SIGSTOP of a replica of booking-service
    PauseBooking,
    /// SIGSTOP of a replica of conversation-service
    PauseConversation,
    /// SIGTERM and start of every replica, one after the other
    RollingRestart,
    /// SIGTERM and start of a replica of each service with gathering switched over
    Gathering,
    /// Restart of a replica of booking-service with a clock that is five minutes ahead of or behind the others
    ClockStep,
    /// Immediate stop of PostgreSQL
    CrashPostgres,
    /// SIGSTOP of every process of PostgreSQL
    PausePostgres,
    /// The database refuses and closes connections
    Cut,
    /// Connections to the database stay open, and nothing is passed on
    Stall,
    /// Round trips to the database take 100 ms more
    Slow,
    /// Existing connections to the database carry no more bytes, without an error
    HalfOpen,
    /// Connections to the database are reset, several times
    Reset,
    /// PostgreSQL commits, and the answer is lost, several times
    LostAnswer,
    /// Others take all connections of PostgreSQL
    Connections,
    /// PostgreSQL refuses to write
    ReadOnly,
    /// The disk of PostgreSQL is full. Needs a file system of its own, so only root can have it, and only when named
    DiskFull,
    /// SIGKILL of the NATS server
    Nats,
    /// SIGKILL of the primary of the cluster (with --cluster)
    KillPrimary,
    /// SIGSTOP of the primary of the cluster until another one is promoted (with --cluster)
    FreezePrimary,
}

impl Kind {
    /// The faults of a run that names none.
    pub fn usual(cluster: bool) -> Vec<Self> {
        let own_server = [Self::CrashPostgres, Self::PausePostgres];
        let of_a_cluster = [Self::KillPrimary, Self::FreezePrimary];
        let left_out = if cluster { own_server } else { of_a_cluster };
        let all = Self::value_variants().iter().copied();
        all.filter(|kind| !left_out.contains(kind) && *kind != Self::DiskFull).collect()
    }

    /// How long it lasts, in milliseconds, before the recovery begins.
    fn lasts_ms(self) -> std::ops::Range<u64> {
        match self {
            Self::Reset | Self::LostAnswer | Self::RollingRestart => 200..201,
            // Gathered calls and stepped clocks only matter while calls are made.
            Self::Gathering | Self::ClockStep => 2000..4000,
            Self::KillPrimary | Self::FreezePrimary => 1000..2000,
            _ => 300..3000,
        }
    }

    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// The time without a fault before it.
    pub after: Duration,
    pub lasts: Duration,
    /// The replica that it is about.
    pub replica: usize,
    /// Another choice, of the fault's own.
    pub variant: bool,
}

/// Endless faults. Each kind comes once before any comes again.
pub fn plan(seed: u64, kinds: &[Kind], calm: Duration) -> impl Iterator<Item = Fault> + use<> {
    let mut rng = StdRng::seed_from_u64(seed);
    let kinds = kinds.to_vec();
    std::iter::repeat(()).flat_map(move |()| {
        let mut round = kinds.clone();
        round.shuffle(&mut rng);
        let faults: Vec<_> = round
            .into_iter()
            .map(|kind| Fault {
                kind,
                after: calm.mul_f64(rng.random_range(0.8..1.2)),
                lasts: Duration::from_millis(rng.random_range(kind.lasts_ms())),
                replica: rng.random_range(0..2),
                variant: rng.random_bool(0.5),
            })
            .collect();
        faults
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_plans_the_same_faults() {
        let of = |seed| plan(seed, &Kind::usual(false), Duration::from_secs(3)).take(60).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn every_kind_comes_once_before_any_comes_again() {
        let usual = Kind::usual(false);
        let mut first: Vec<_> = plan(1, &usual, Duration::ZERO).take(usual.len()).map(|fault| fault.kind).collect();
        first.sort();
        assert_eq!(first, usual);
    }
}
