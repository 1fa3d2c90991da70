//! The number of connections, and the rules for opening and closing them.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use rand::Rng as _;
use sqlx::PgConnection;

use super::{Limits, Suspicion};
use crate::mean_time::MeanTime;

/// A connection is closed at about this age, so that load spreads after a failover.
const LIFETIME: Duration = Duration::from_mins(30);
/// A connection that was unused for this long is closed if there are more than the least number.
const IDLE: Duration = Duration::from_mins(5);
/// The most connections that are opened at once, to spare a server that has just become available. It equals the
/// default of DATABASE_MIN_CONNECTIONS.
const OPENING_MAX: u32 = 10;

#[derive(Default)]
pub(super) struct State {
    /// A stack: connections at the top are used often, and the one that has been idle longest is at the bottom.
    pub idle: Vec<Open>,
    /// Connections that are open: idle, in use, or being checked.
    pub live: u32,
    /// Connections that are being closed.
    pub closing: u32,
    /// Connections that are being opened.
    pub opening: u32,
    /// Callers that wait for a connection.
    pub waiting: u32,
    /// Failed attempts to open a connection since the last success.
    pub failures: u32,
    /// Whether the least number of connections is kept open.
    pub keeps_warm: bool,
    /// The generation of new connections.
    pub generation: u64,
    /// Connections of an earlier generation than this are not used any more.
    pub oldest: u64,
    pub suspicion: Option<Suspicion>,
    /// How long connections are used at a time.
    pub use_time: MeanTime,
    /// The number of connections that were opened since the start.
    pub numbered: u64,
    /// Connections whose statement was abandoned and waits for a synchronous standby.
    pub awaiting_standby: u32,
    /// Names of connections whose statements are to be cancelled.
    pub to_cancel: Vec<String>,
    /// Names of connections whose cancellation was sent and may still arrive.
    pub in_doubt: HashSet<String>,
    /// Whether an opening failed because another connection's statement had the same name.
    pub shares_statements: bool,
}

/// An open connection.
pub(super) struct Open {
    pub connection: PgConnection,
    /// Its `application_name` in the server.
    pub name: String,
    pub generation: u64,
    pub opened: Instant,
    pub expires: Instant,
    pub used: Instant,
}

impl Open {
    pub fn new(connection: PgConnection, name: String, generation: u64) -> Self {
        let now = Instant::now();
        // Connections that were opened together must not expire together.
        let lifetime = LIFETIME.mul_f64(rand::rng().random_range(0.8..1.2));
        Self { connection, name, generation, opened: now, expires: now + lifetime, used: now }
    }
}

impl State {
    /// The number of connections to open now: one for each waiting caller, or up to the least number. After a failure,
    /// one at a time.
    pub fn openings_due(&self, limits: &Limits) -> u32 {
        let missing = if self.keeps_warm { limits.min.saturating_sub(self.live) } else { 0 };
        let wanted = self.waiting.max(missing);
        let room = limits.max.saturating_sub(self.live + self.closing);
        let at_once = if self.failures == 0 { OPENING_MAX } else { 1 };
        wanted.min(room).min(at_once).saturating_sub(self.opening)
    }

    /// Whether a returned connection is used again. Connections that are too old are closed one at a time, so that the
    /// others serve while a successor is opened.
    pub fn may_stay(&self, open: &Open, limits: &Limits) -> bool {
        let others = self.opening + self.closing;
        let old = open.expires <= Instant::now() && others == 0 && self.live >= limits.min;
        open.generation >= self.oldest && !old
    }

    /// Takes the idle connections of earlier generations off the stack.
    pub fn forget_earlier(&mut self) -> Vec<Open> {
        self.oldest = self.generation;
        let (kept, forgotten) = self.idle.drain(..).partition(|open| open.generation >= self.oldest);
        self.idle = kept;
        forgotten
    }

    /// Takes the connection that has been idle longest off the stack, if that is too long. At most one is taken for
    /// each returned connection.
    pub fn take_overdue(&mut self, limits: &Limits) -> Option<Open> {
        let overdue = self.live > limits.min && self.idle.first().is_some_and(|longest| longest.used.elapsed() > IDLE);
        overdue.then(|| self.idle.remove(0))
    }

    /// The names of the connections whose statements are cancelled now.
    pub fn begin_to_cancel(&mut self) -> Vec<String> {
        let names = std::mem::take(&mut self.to_cancel);
        self.in_doubt.extend(names.iter().cloned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min: 10, max: 16, acquire_timeout: Duration::from_secs(2) };

    fn due(state: &State) -> u32 {
        state.openings_due(&LIMITS)
    }

    #[test]
    fn one_connection_is_opened_for_each_waiting_caller() {
        assert_eq!(due(&State { waiting: 3, ..State::default() }), 3);
        assert_eq!(due(&State { waiting: 3, opening: 2, ..State::default() }), 1);
        assert_eq!(due(&State { waiting: 3, opening: 5, ..State::default() }), 0);
        assert_eq!(due(&State::default()), 0, "no caller waits");
    }

    #[test]
    fn connections_never_exceed_the_limit() {
        assert_eq!(due(&State { waiting: 50, live: 14, ..State::default() }), 2);
        assert_eq!(due(&State { waiting: 50, live: 14, opening: 2, ..State::default() }), 0);
        assert_eq!(due(&State { waiting: 50, live: 16, ..State::default() }), 0);
        assert_eq!(
            due(&State { waiting: 50, live: 14, closing: 2, ..State::default() }),
            0,
            "closing connections still count"
        );
    }

    #[test]
    fn ten_connections_are_opened_at_once_and_one_after_a_failure() {
        assert_eq!(due(&State { waiting: 50, ..State::default() }), OPENING_MAX);
        assert_eq!(due(&State { waiting: 50, failures: 1, ..State::default() }), 1);
        assert_eq!(due(&State { waiting: 50, failures: 9, opening: 1, ..State::default() }), 0);
    }

    #[test]
    fn the_least_number_of_connections_is_kept_open_after_keep_warm() {
        assert_eq!(due(&State { live: 7, keeps_warm: true, ..State::default() }), 3);
        assert_eq!(due(&State { live: 7, ..State::default() }), 0);
        assert_eq!(due(&State { live: 12, keeps_warm: true, ..State::default() }), 0);
    }
}
