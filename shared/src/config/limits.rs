//! What the servers give a client at most.

use std::time::Duration;

use clap::Args;

use super::Problems;

/// Limits as they are given.
#[derive(Args)]
pub struct LimitArgs {
    /// gRPC connections at once. Of more, the one that has been idle for longest gives way, or new ones are
    /// refused. Fewer where the process may not open so many descriptors
    #[arg(long, env = "MAX_CONNECTIONS", hide_env_values = true, default_value = "512", global = true)]
    max_connections: String,
    /// The same for HTTP
    #[arg(long, env = "MAX_HTTP_CONNECTIONS", hide_env_values = true, default_value = "256", global = true)]
    max_http_connections: String,
    /// Calls at once on one gRPC connection, which clients are told: of more, theirs wait
    #[arg(long, env = "MAX_CALLS_PER_CONNECTION", hide_env_values = true, default_value = "100", global = true)]
    max_calls_per_connection: String,
    /// Streams at once, such as StreamBookingEvents; more are answered OVERLOADED. A connection has no more of
    /// them than it leaves to others, as with everything of which there is a most
    #[arg(long, env = "MAX_STREAMS", hide_env_values = true, default_value = "100", global = true)]
    max_streams: String,
    /// Calls that wait at once, such as ClaimDueFollowUps with wait_seconds; more are answered OVERLOADED. While
    /// they wait they do not count in MAX_IN_FLIGHT
    #[arg(long, env = "MAX_WAITING", hide_env_values = true, default_value = "256", global = true)]
    max_waiting: String,
    /// Calls of health and reflection at once, and as many streams of them. They do not count in MAX_IN_FLIGHT
    #[arg(long, env = "MAX_PROBES", hide_env_values = true, default_value = "64", global = true)]
    max_probes: String,
    /// Bytes of all messages that arrive or are worked on; what is more is answered OVERLOADED
    #[arg(long, env = "MAX_ARRIVING_BYTES", hide_env_values = true, default_value = "33554432", global = true)]
    max_arriving_bytes: String,
    /// Bytes of all large answers that clients have not taken yet; what is more is answered OVERLOADED
    #[arg(long, env = "MAX_ANSWER_BYTES", hide_env_values = true, default_value = "33554432", global = true)]
    max_answer_bytes: String,
    /// How long a call's message may take to arrive. The call counts in MAX_IN_FLIGHT when it is there
    #[arg(long, env = "ARRIVAL_TIMEOUT_MS", hide_env_values = true, default_value = "5000", global = true)]
    arrival_timeout_ms: String,
    /// How long a client may take nothing of what is sent to it: then the call is reset, or the connection ended
    #[arg(long, env = "WRITE_TIMEOUT_MS", hide_env_values = true, default_value = "20000", global = true)]
    write_timeout_ms: String,
    /// How long a new gRPC connection may take for its first bytes, those that HTTP/2 begins with
    #[arg(long, env = "HANDSHAKE_TIMEOUT_MS", hide_env_values = true, default_value = "10000", global = true)]
    handshake_timeout_ms: String,
    /// A gRPC connection without calls for so long is closed, by GOAWAY
    #[arg(long, env = "CONNECTION_IDLE_MS", hide_env_values = true, default_value = "600000", global = true)]
    connection_idle_ms: String,
    /// A gRPC connection of about this age is closed, by GOAWAY, so that clients spread over new replicas: its
    /// calls end, its streams are told DRAINING
    #[arg(long, env = "CONNECTION_AGE_MS", hide_env_values = true, default_value = "1800000", global = true)]
    connection_age_ms: String,
    /// A gRPC client that has been silent for so long is asked whether it is there
    #[arg(long, env = "KEEPALIVE_INTERVAL_MS", hide_env_values = true, default_value = "60000", global = true)]
    keepalive_interval_ms: String,
    /// And may take so long to answer, before the connection is ended
    #[arg(long, env = "KEEPALIVE_TIMEOUT_MS", hide_env_values = true, default_value = "20000", global = true)]
    keepalive_timeout_ms: String,
}

/// Limits as the servers use them. What is counted for all has a share for each connection: it gets more only
/// while it holds no more than is left.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    pub max_connections: usize,
    pub max_http_connections: usize,
    pub max_calls_per_connection: u32,
    pub max_streams: usize,
    pub max_waiting: usize,
    /// Of calls and of streams, each.
    pub max_probes: usize,
    pub max_arriving_bytes: usize,
    pub max_answer_bytes: usize,
    pub arrival_timeout: Duration,
    pub write_timeout: Duration,
    pub handshake_timeout: Duration,
    pub connection_idle: Duration,
    pub connection_age: Duration,
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_http_connections: 256,
            max_calls_per_connection: 100,
            max_streams: 100,
            max_waiting: 256,
            max_probes: 64,
            max_arriving_bytes: 32 << 20,
            max_answer_bytes: 32 << 20,
            arrival_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            connection_idle: Duration::from_mins(10),
            connection_age: Duration::from_mins(30),
            keepalive_interval: Duration::from_mins(1),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

/// A message of the largest size may take half of what there is.
const MESSAGES_MIN: u64 = 2;
/// Any answer may take half of what there is: they stay below 4 MiB.
const ANSWER_BYTES_MIN: u64 = 8 << 20;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl LimitArgs {
    /// `None` when something was wrong, which `problems` then names.
    pub(super) fn parse(&self, max_message_bytes: Option<u64>, problems: &mut Problems) -> Option<ServerLimits> {
        let arriving_min = max_message_bytes.unwrap_or(0) * MESSAGES_MIN;
        let mut count =
            |name, raw, unit, least, most| problems.number(name, raw, unit, least, most).map(usize::try_from)?.ok();
        let connections = count("MAX_CONNECTIONS", &self.max_connections, "connections", 1, 1_000_000);
        let http = count("MAX_HTTP_CONNECTIONS", &self.max_http_connections, "connections", 1, 1_000_000);
        let calls = count("MAX_CALLS_PER_CONNECTION", &self.max_calls_per_connection, "calls", 1, 100_000);
        let streams = count("MAX_STREAMS", &self.max_streams, "streams", 1, 1000);
        let waiting = count("MAX_WAITING", &self.max_waiting, "calls", 1, 100_000);
        let probes = count("MAX_PROBES", &self.max_probes, "calls", 1, 100_000);
        let arriving = count("MAX_ARRIVING_BYTES", &self.max_arriving_bytes, "bytes", arriving_min, 1 << 32);
        let answers = count("MAX_ANSWER_BYTES", &self.max_answer_bytes, "bytes", ANSWER_BYTES_MIN, 1 << 32);
        let arrival = problems.millis("ARRIVAL_TIMEOUT_MS", &self.arrival_timeout_ms, 10, 600_000);
        let write = problems.millis("WRITE_TIMEOUT_MS", &self.write_timeout_ms, 100, 600_000);
        let handshake = problems.millis("HANDSHAKE_TIMEOUT_MS", &self.handshake_timeout_ms, 100, 600_000);
        let idle = problems.millis("CONNECTION_IDLE_MS", &self.connection_idle_ms, 1000, DAY_MS);
        let age = problems.millis("CONNECTION_AGE_MS", &self.connection_age_ms, 1000, 30 * DAY_MS);
        let interval = problems.millis("KEEPALIVE_INTERVAL_MS", &self.keepalive_interval_ms, 1000, 3_600_000);
        let timeout = problems.millis("KEEPALIVE_TIMEOUT_MS", &self.keepalive_timeout_ms, 1000, 600_000);
        Some(ServerLimits {
            max_connections: connections?,
            max_http_connections: http?,
            max_calls_per_connection: u32::try_from(calls?).ok()?,
            max_streams: streams?,
            max_waiting: waiting?,
            max_probes: probes?,
            max_arriving_bytes: arriving?,
            max_answer_bytes: answers?,
            arrival_timeout: arrival?,
            write_timeout: write?,
            handshake_timeout: handshake?,
            connection_idle: idle?,
            connection_age: age?,
            keepalive_interval: interval?,
            keepalive_timeout: timeout?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn the_defaults_of_the_help_are_those_of_the_code() {
        let given = LimitArgs::augment_args(Command::new("limits")).get_matches_from(["limits"]);
        let args = LimitArgs::from_arg_matches(&given).expect("every limit has a default");
        let mut problems = Problems::default();
        let parsed = args.parse(Some(256 * 1024), &mut problems).expect("they are right");
        problems.finish().expect("they are right");
        assert_eq!(format!("{parsed:?}"), format!("{:?}", ServerLimits::default()));
    }
}
