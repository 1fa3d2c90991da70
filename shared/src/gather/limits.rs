use std::time::Duration;

use clap::Args;

use crate::config::Problems;

/// The time of a lone statement beyond which one more statement may run at once. Such a statement waits for the network,
/// not for the processor.
const FAR: Duration = Duration::from_millis(2);

/// How calls are gathered.
#[derive(Debug, Clone, Copy)]
pub struct GatherLimits {
    /// The most calls of one statement; 1: calls are not gathered.
    pub calls: usize,
    /// The most statements that run at once while the database is near.
    pub statements: usize,
    /// The most statements that run at once while it is far.
    pub statements_far: usize,
}

impl Default for GatherLimits {
    fn default() -> Self {
        Self { calls: 32, statements: 1, statements_far: 8 }
    }
}

impl GatherLimits {
    /// Each call has a statement of its own.
    pub const OFF: Self = Self { calls: 1, statements: 1, statements_far: 1 };

    pub(super) fn is_off(&self) -> bool {
        self.calls <= 1
    }

    /// How many statements may run at once, if the shortest lone statement takes this long.
    pub(super) fn statements_at(&self, shortest: Duration) -> usize {
        let far = usize::try_from(shortest.as_micros() / FAR.as_micros()).unwrap_or(usize::MAX);
        self.statements.saturating_add(far).min(self.statements_most())
    }

    /// How many statements for many calls may run at once in any case, also with those that wait for a lock.
    pub(super) fn statements_most(&self) -> usize {
        self.statements_far.max(self.statements)
    }
}

/// The settings of gathering.
#[derive(Args)]
pub struct GatherArgs {
    /// Most calls of StoreMessage or CreateBooking that go together in one statement: those that come while others run.
    /// With 1 each call has a statement of its own
    #[arg(long, env = "GATHER_MAX_CALLS", hide_env_values = true, default_value = "32", global = true)]
    pub gather_max_calls: String,
    /// Statements for such calls that run at once. More than one needs more processors, and makes statements for one
    /// slot wait for each other. If the database is far away there are more in any case, up to half of
    /// DATABASE_MAX_CONNECTIONS
    #[arg(long, env = "GATHER_MAX_STATEMENTS", hide_env_values = true, default_value = "1", global = true)]
    pub gather_max_statements: String,
}

impl GatherArgs {
    /// `None` when a setting is invalid; `problems` then has the reason. `connections` is the most that there are.
    pub(crate) fn parse(&self, connections: u32, problems: &mut Problems) -> Option<GatherLimits> {
        let calls = problems.number("GATHER_MAX_CALLS", &self.gather_max_calls, "calls", 1, 256);
        let statements = problems.number("GATHER_MAX_STATEMENTS", &self.gather_max_statements, "statements", 1, 1000);
        let connections = usize::try_from(connections).ok()?;
        Some(GatherLimits {
            calls: usize::try_from(calls?).ok()?,
            statements: usize::try_from(statements?).ok()?.min(connections),
            statements_far: connections / 2,
        })
    }
}
