//! Settings: read once at the start, from environment variables and flags, every bad one reported
//! together, by name and never with its value.

mod given;
mod limits;
mod open_telemetry;
mod problems;
mod telemetry;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use self::limits::LimitArgs;
pub use self::{
    given::{Misspelt, read},
    limits::ServerLimits,
    open_telemetry::{
        BatchSettings, MetricsSettings, OpenTelemetryArgs, OpenTelemetrySettings, OtlpProtocol, OtlpSettings,
        TlsSettings,
    },
    problems::Problems,
    telemetry::{LogFormat, TelemetrySettings},
};
use crate::{keys::KeysChoice, postgres};

/// The settings both services have.
#[derive(Args)]
pub struct CommonArgs {
    /// PostgreSQL of this service, as postgres://user:password@host:port/database. Without it the
    /// service starts on a private server of its own under TEPPAN_HOME
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub database_url: Option<String>,
    /// File that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    pub database_url_file: Option<PathBuf>,
    /// Database connections of this process, each for one request at a time; one more looks whether
    /// the database is there
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", hide_env_values = true, default_value = "16", global = true)]
    pub database_max_connections: String,
    /// Connections that are opened before the service is ready and kept open, also while nobody uses
    /// them; never more than DATABASE_MAX_CONNECTIONS
    #[arg(long, env = "DATABASE_MIN_CONNECTIONS", hide_env_values = true, default_value = "10", global = true)]
    pub database_min_connections: String,
    /// How long a request waits for a connection before it is answered OVERLOADED, or
    /// DATABASE_UNAVAILABLE when there is none
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_MS", hide_env_values = true, default_value = "2000", global = true)]
    pub database_acquire_timeout_ms: String,
    /// Keys that seal personal data: VERSION:BASE64 of 32 bytes, separated by commas; the highest
    /// version seals, all open. Required with DATABASE_URL
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true, value_name = "KEYS", global = true)]
    pub encryption_keys: Option<String>,
    /// File that holds ENCRYPTION_KEYS
    #[arg(long, env = "ENCRYPTION_KEYS_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    pub encryption_keys_file: Option<PathBuf>,
    /// Key of the hashes by which customers are found and requests compared: base64 of 32 bytes.
    /// Required with DATABASE_URL
    #[arg(long, env = "HASH_KEY", hide_env_values = true, value_name = "KEY", global = true)]
    pub hash_key: Option<String>,
    /// File that holds HASH_KEY
    #[arg(long, env = "HASH_KEY_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    pub hash_key_file: Option<PathBuf>,
    /// Folder of the private server, its keys and the tools that set-up brought. The server's programs
    /// are looked for there and in the usual places, or in POSTGRES_BIN_DIR when that is set
    #[arg(
        long,
        env = "TEPPAN_HOME",
        hide_env_values = true,
        default_value = ".teppan",
        value_name = "PATH",
        global = true
    )]
    pub teppan_home: PathBuf,
    /// Longest time a call may take; a client's own deadline applies when it is shorter
    #[arg(long, env = "REQUEST_TIMEOUT_MS", hide_env_values = true, default_value = "10000", global = true)]
    pub request_timeout_ms: String,
    /// Calls that are worked on at once; more are answered OVERLOADED. One connection holds at most as many as it
    /// leaves free, so alone it has half
    #[arg(long, env = "MAX_IN_FLIGHT", hide_env_values = true, default_value = "1024", global = true)]
    pub max_in_flight: String,
    /// Largest message that is accepted, in bytes; a larger one is answered MESSAGE_TOO_LARGE
    #[arg(long, env = "MAX_MESSAGE_BYTES", hide_env_values = true, default_value = "262144", global = true)]
    pub max_message_bytes: String,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// After SIGTERM: how long calls are still accepted while health answers NOT_SERVING, so that
    /// load balancers notice
    #[arg(long, env = "SHUTDOWN_PAUSE_MS", hide_env_values = true, default_value = "500", global = true)]
    pub shutdown_pause_ms: String,
    /// After that pause: how long running calls may take to end. A second signal ends both waits
    #[arg(long, env = "SHUTDOWN_DRAIN_MS", hide_env_values = true, default_value = "10000", global = true)]
    pub shutdown_drain_ms: String,
    /// Listen beyond loopback although the connection is not encrypted and callers are not
    /// authenticated: true only where something else, such as a mesh, does both
    #[arg(long, env = "ALLOW_INSECURE", hide_env_values = true, default_value = "false", global = true)]
    pub allow_insecure: String,
    /// How often what waits in the database is counted for the metrics
    #[arg(long, env = "BACKLOG_INTERVAL_MS", hide_env_values = true, default_value = "15000", global = true)]
    pub backlog_interval_ms: String,
    /// Format of the log: text, json, or auto (text in a terminal, json otherwise)
    #[arg(long, env = "LOG_FORMAT", hide_env_values = true, default_value = "auto", global = true)]
    pub log_format: String,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,sqlx=debug
    #[arg(long, env = "LOG_LEVEL", hide_env_values = true, default_value = "info", global = true)]
    pub log_level: String,
    // Last: the heading of its help is that of all that follow.
    #[command(flatten)]
    pub open_telemetry: OpenTelemetryArgs,
}

/// What the servers need.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub listen_addr: SocketAddr,
    pub http_addr: SocketAddr,
    pub request_timeout: Duration,
    pub max_in_flight: usize,
    pub max_message_bytes: usize,
    pub limits: ServerLimits,
    pub shutdown_pause: Duration,
    pub shutdown_drain: Duration,
}

/// Where the database is.
#[derive(Debug, Clone)]
pub enum DatabaseChoice {
    Url(SecretString),
    /// The private server under this folder.
    Embedded(PathBuf),
}

/// Limits of the database's use; see [`postgres::DatabaseSettings`].
#[derive(Debug, Clone, Copy)]
pub struct DatabaseLimits {
    pub max_connections: u32,
    pub min_connections: u32,
    pub acquire_timeout: Duration,
}

/// The parsed form of [`CommonArgs`] and the two addresses.
#[derive(Debug, Clone)]
pub struct CommonSettings {
    pub server: ServerSettings,
    pub database: DatabaseChoice,
    pub database_limits: DatabaseLimits,
    pub keys: KeysChoice,
    /// How often what waits in the database is counted for the metrics.
    pub backlog_interval: Duration,
    pub telemetry: TelemetrySettings,
}

impl CommonSettings {
    /// For a command that reads the data of a service: a new private database would have none.
    ///
    /// # Errors
    /// No database is named.
    pub fn require_named_database(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if let DatabaseChoice::Embedded(_) = self.database {
            problems.add("DATABASE_URL", "is required for this command: the database of the service");
        }
        problems.finish()
    }

    /// `None` when something was wrong, which `problems` then names.
    pub fn parse(args: &CommonArgs, listen_addr: &str, http_addr: &str, problems: &mut Problems) -> Option<Self> {
        let database =
            match problems.secret("DATABASE_URL", args.database_url.as_deref(), args.database_url_file.as_deref()) {
                Some(url) => {
                    if let Err(fault) = postgres::parse_url(url.expose_secret()) {
                        problems.add("DATABASE_URL", fault);
                    }
                    DatabaseChoice::Url(url)
                }
                None => DatabaseChoice::Embedded(args.teppan_home.clone()),
            };
        let server = parse_server(args, listen_addr, http_addr, problems);
        let database_limits = parse_database_limits(args, problems);
        let backlog_interval = problems.millis("BACKLOG_INTERVAL_MS", &args.backlog_interval_ms, 10, 3_600_000);
        let telemetry = TelemetrySettings::parse(args, problems);
        let keys = KeysChoice::parse(args, &database, problems);
        Some(Self {
            server: server?,
            database,
            database_limits: database_limits?,
            keys: keys?,
            backlog_interval: backlog_interval?,
            telemetry: telemetry?,
        })
    }
}

fn parse_server(
    args: &CommonArgs,
    listen_addr: &str,
    http_addr: &str,
    problems: &mut Problems,
) -> Option<ServerSettings> {
    let must = "must be an address and a port, such as 127.0.0.1:50051";
    let listen_addr: Option<SocketAddr> = problems.parse("LISTEN_ADDR", listen_addr, must);
    let http_addr: Option<SocketAddr> = problems.parse("HTTP_ADDR", http_addr, must);
    let allow_insecure = problems.parse("ALLOW_INSECURE", &args.allow_insecure, "must be true or false");
    for (name, address) in [("LISTEN_ADDR", listen_addr), ("HTTP_ADDR", http_addr)] {
        if address.is_some_and(|address| !address.ip().is_loopback()) && allow_insecure == Some(false) {
            problems.add(
                name,
                "is reachable from other machines, and callers are neither encrypted nor authenticated: \
                 listen on loopback, or set ALLOW_INSECURE=true where something in front does both",
            );
        }
    }
    let request_timeout = problems.millis("REQUEST_TIMEOUT_MS", &args.request_timeout_ms, 10, 600_000);
    let max_in_flight = problems.number("MAX_IN_FLIGHT", &args.max_in_flight, "calls", 1, 1_000_000);
    let max_message_bytes = problems.number("MAX_MESSAGE_BYTES", &args.max_message_bytes, "bytes", 65_536, 64 << 20);
    let limits = args.limits.parse(max_message_bytes, problems);
    let shutdown_pause = problems.millis("SHUTDOWN_PAUSE_MS", &args.shutdown_pause_ms, 0, 300_000);
    let shutdown_drain = problems.millis("SHUTDOWN_DRAIN_MS", &args.shutdown_drain_ms, 0, 3_600_000);
    Some(ServerSettings {
        listen_addr: listen_addr?,
        http_addr: http_addr?,
        request_timeout: request_timeout?,
        max_in_flight: usize::try_from(max_in_flight?).ok()?,
        max_message_bytes: usize::try_from(max_message_bytes?).ok()?,
        limits: limits?,
        shutdown_pause: shutdown_pause?,
        shutdown_drain: shutdown_drain?,
    })
}

fn parse_database_limits(args: &CommonArgs, problems: &mut Problems) -> Option<DatabaseLimits> {
    let max = problems.number("DATABASE_MAX_CONNECTIONS", &args.database_max_connections, "connections", 1, 1000);
    let min = problems.number("DATABASE_MIN_CONNECTIONS", &args.database_min_connections, "connections", 1, 1000);
    let acquire_timeout = problems.millis("DATABASE_ACQUIRE_TIMEOUT_MS", &args.database_acquire_timeout_ms, 1, 600_000);
    Some(DatabaseLimits {
        max_connections: u32::try_from(max?).ok()?,
        min_connections: u32::try_from(min?).ok()?,
        acquire_timeout: acquire_timeout?,
    })
}
