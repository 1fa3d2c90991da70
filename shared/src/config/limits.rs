//! The limits of the servers' resources for clients.

use std::time::Duration;

use clap::Args;

use super::Problems;

/// The limits, not yet validated.
#[derive(Args)]
pub struct LimitArgs {
    /// Most gRPC connections. When all are taken, a new one replaces the one that has been idle longest; when none is
    /// idle, the new one is refused. The limit is lower if the process may open fewer file descriptors
    #[arg(long, env = "MAX_CONNECTIONS", hide_env_values = true, default_value = "512", global = true)]
    max_connections: String,
    /// The same for HTTP
    #[arg(long, env = "MAX_HTTP_CONNECTIONS", hide_env_values = true, default_value = "256", global = true)]
    max_http_connections: String,
    /// Most concurrent calls on one gRPC connection. Clients know the limit from HTTP/2 and delay further calls
    #[arg(long, env = "MAX_CALLS_PER_CONNECTION", hide_env_values = true, default_value = "100", global = true)]
    max_calls_per_connection: String,
    /// Most open streams, such as StreamBookingEvents; more are answered OVERLOADED. One connection, or all connections
    /// of one caller, can hold at most as many as they leave free, which is half of the limit for a single client. The
    /// same is true for each limit below that is for all connections
    #[arg(long, env = "MAX_STREAMS", hide_env_values = true, default_value = "100", global = true)]
    max_streams: String,
    /// Most waiting calls, such as ClaimDueFollowUps with wait_seconds; more are answered OVERLOADED. A waiting call
    /// does not count in MAX_IN_FLIGHT
    #[arg(long, env = "MAX_WAITING", hide_env_values = true, default_value = "256", global = true)]
    max_waiting: String,
    /// Most concurrent health checks, and as many streams of health and reflection. They do not count in MAX_IN_FLIGHT.
    /// A client with the published service config has a health stream on each of its connections
    #[arg(long, env = "MAX_PROBES", hide_env_values = true, default_value = "1024", global = true)]
    max_probes: String,
    /// Most bytes of all messages that are arriving or being worked on; a call beyond it is answered OVERLOADED
    #[arg(long, env = "MAX_ARRIVING_BYTES", hide_env_values = true, default_value = "33554432", global = true)]
    max_arriving_bytes: String,
    /// Most bytes of all large answers that clients have not read yet; a call beyond it is answered OVERLOADED. Answers
    /// of ClaimDueFollowUps have as many bytes of their own; a call waits for them before it claims
    #[arg(long, env = "MAX_ANSWER_BYTES", hide_env_values = true, default_value = "33554432", global = true)]
    max_answer_bytes: String,
    /// How long a call's message may take to arrive. The call counts in MAX_IN_FLIGHT from then on
    #[arg(long, env = "ARRIVAL_TIMEOUT_MS", hide_env_values = true, default_value = "5000", global = true)]
    arrival_timeout_ms: String,
    /// How long a client may read none of the bytes that are sent to it before the call is reset or the connection is
    /// closed
    #[arg(long, env = "WRITE_TIMEOUT_MS", hide_env_values = true, default_value = "20000", global = true)]
    write_timeout_ms: String,
    /// How long a TLS handshake may take, on every address, and how long a new gRPC connection may take to send its
    /// HTTP/2 preface and settings
    #[arg(long, env = "HANDSHAKE_TIMEOUT_MS", hide_env_values = true, default_value = "10000", global = true)]
    handshake_timeout_ms: String,
    /// A gRPC connection without calls for this long is closed, by GOAWAY
    #[arg(long, env = "CONNECTION_IDLE_MS", hide_env_values = true, default_value = "600000", global = true)]
    connection_idle_ms: String,
    /// A gRPC connection of about this age is closed, by GOAWAY, so that clients spread over new replicas: running
    /// calls end normally, streams end with DRAINING
    #[arg(long, env = "CONNECTION_AGE_MS", hide_env_values = true, default_value = "1800000", global = true)]
    connection_age_ms: String,
    /// A gRPC connection that has received nothing for this long is pinged
    #[arg(long, env = "KEEPALIVE_INTERVAL_MS", hide_env_values = true, default_value = "60000", global = true)]
    keepalive_interval_ms: String,
    /// How long a client may take to answer a ping before the connection is closed
    #[arg(long, env = "KEEPALIVE_TIMEOUT_MS", hide_env_values = true, default_value = "20000", global = true)]
    keepalive_timeout_ms: String,
}

/// The parsed limits. Each connection has a share of the common limits: see `server::pools`.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    pub max_connections: usize,
    pub max_http_connections: usize,
    pub max_calls_per_connection: u32,
    pub max_streams: usize,
    pub max_waiting: usize,
    /// For calls, and separately for streams.
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
            max_probes: 1024,
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

/// MAX_ARRIVING_BYTES must have room for this many of the largest messages, because a single connection gets half of
/// it.
const MESSAGES_MIN: u64 = 2;
/// Twice the largest answer (4 MiB), because a single connection gets half of MAX_ANSWER_BYTES.
const ANSWER_BYTES_MIN: u64 = 8 << 20;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl LimitArgs {
    /// `None` when a setting is invalid; `problems` then has the reason.
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
    fn the_defaults_of_the_arguments_equal_the_defaults_of_the_struct() {
        let given = LimitArgs::augment_args(Command::new("limits")).get_matches_from(["limits"]);
        let args = LimitArgs::from_arg_matches(&given).expect("every limit has a default");
        let mut problems = Problems::default();
        let parsed = args.parse(Some(256 * 1024), &mut problems).expect("they are right");
        problems.finish().expect("they are right");
        assert_eq!(format!("{parsed:?}"), format!("{:?}", ServerLimits::default()));
    }

    #[test]
    fn a_client_on_each_connection_can_watch_health() {
        let limits = ServerLimits::default();
        assert!(limits.max_probes > limits.max_connections);
    }
}
