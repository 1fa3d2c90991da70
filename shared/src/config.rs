//! Settings. They are read once at the start, from environment variables and flags. All invalid settings are reported
//! together, by name and never with their value.

mod exposure;
mod given;
mod limits;
mod open_telemetry;
mod problems;
mod telemetry;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use self::{exposure::Protection, limits::LimitArgs};
pub use self::{
    exposure::is_loopback,
    given::{Misspelt, read},
    limits::ServerLimits,
    open_telemetry::{
        BatchSettings, MetricsSettings, OpenTelemetryArgs, OpenTelemetrySettings, OtlpProtocol, OtlpSettings,
        TlsSettings,
    },
    problems::Problems,
    telemetry::{LogFormat, TelemetrySettings},
};
use crate::{
    embedded,
    gather::{GatherArgs, GatherLimits},
    identity::{IdentityArgs, IdentitySettings},
    keys::KeysChoice,
    postgres,
    tls::{ServerTlsSettings, TlsArgs},
};

/// The settings of both services.
#[derive(Args)]
pub struct CommonArgs {
    /// PostgreSQL database of this service, as postgres://user:password@host:port/database. Without it the service
    /// starts a private server in TEPPAN_HOME
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL", global = true)]
    pub database_url: Option<String>,
    /// File that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    pub database_url_file: Option<PathBuf>,
    /// Most database connections of this process, each for one statement at a time. One more connection checks whether
    /// the database is available, and another one, opened when it is needed, cancels statements of abandoned calls
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", hide_env_values = true, default_value = "16", global = true)]
    pub database_max_connections: String,
    /// Connections that are opened before the service is ready and kept open even when they are not used; never more
    /// than DATABASE_MAX_CONNECTIONS
    #[arg(long, env = "DATABASE_MIN_CONNECTIONS", hide_env_values = true, default_value = "10", global = true)]
    pub database_min_connections: String,
    /// How long a call waits for a connection before it is answered OVERLOADED, or DATABASE_UNAVAILABLE when there is
    /// none. It waits for at most half of its remaining time, and not at all when the expected wait is longer
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_MS", hide_env_values = true, default_value = "2000", global = true)]
    pub database_acquire_timeout_ms: String,
    /// Apply the missing database migrations at the start. With false the service is not ready until the command
    /// `migrate` has applied them
    #[arg(long, env = "MIGRATE_AT_START", hide_env_values = true, default_value = "true", global = true)]
    pub migrate_at_start: String,
    /// Secrets of the keys that seal and hash personal data: VERSION:BASE64 of 32 bytes, separated by commas or line
    /// breaks; the first seals and makes new hashes, all open. Required with DATABASE_URL; `generate-key` makes one
    #[arg(long, env = "ENCRYPTION_KEYS", hide_env_values = true, value_name = "KEYS", global = true)]
    pub encryption_keys: Option<String>,
    /// File that holds ENCRYPTION_KEYS
    #[arg(long, env = "ENCRYPTION_KEYS_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    pub encryption_keys_file: Option<PathBuf>,
    /// Folder of the private server, its keys and the tools that `make setup` installed. The server's programs are
    /// searched there and in the usual folders, or in POSTGRES_BIN_DIR when that is set
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
    /// Most calls that are worked on at once; more are answered OVERLOADED. One connection, or all connections of one
    /// caller, can hold at most as many as they leave free, which is half of the limit for a single client
    #[arg(long, env = "MAX_IN_FLIGHT", hide_env_values = true, default_value = "1024", global = true)]
    pub max_in_flight: String,
    /// Largest message that is accepted, in bytes; a larger one is answered MESSAGE_TOO_LARGE
    #[arg(long, env = "MAX_MESSAGE_BYTES", hide_env_values = true, default_value = "3145728", global = true)]
    pub max_message_bytes: String,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub gather: GatherArgs,
    #[command(flatten)]
    pub tls: TlsArgs,
    /// How often certificates, keys and other files are checked for changes; a change is used after two equal checks
    #[arg(long, env = "RELOAD_INTERVAL_MS", hide_env_values = true, default_value = "10000", global = true)]
    pub reload_interval_ms: String,
    /// After SIGTERM: how long calls are still accepted while health answers NOT_SERVING, so that
    /// load balancers notice
    #[arg(long, env = "SHUTDOWN_PAUSE_MS", hide_env_values = true, default_value = "500", global = true)]
    pub shutdown_pause_ms: String,
    /// After that pause: how long running calls may take to end. A second signal ends both waits
    #[arg(long, env = "SHUTDOWN_DRAIN_MS", hide_env_values = true, default_value = "10000", global = true)]
    pub shutdown_drain_ms: String,
    /// Listen beyond loopback without encryption or authentication, and connect to other services without TLS: set it
    /// to true only if something else, such as a mesh, does both
    #[arg(long, env = "ALLOW_INSECURE", hide_env_values = true, default_value = "false", global = true)]
    pub allow_insecure: String,
    /// How often the waiting work in the database is counted for the metrics
    #[arg(long, env = "BACKLOG_INTERVAL_MS", hide_env_values = true, default_value = "15000", global = true)]
    pub backlog_interval_ms: String,
    /// Format of the log: text, json, or auto (text in a terminal, json otherwise)
    #[arg(long, env = "LOG_FORMAT", hide_env_values = true, default_value = "auto", global = true)]
    pub log_format: String,
    /// What is logged: error, warn, info, debug, trace, or a filter such as info,sqlx=debug
    #[arg(long, env = "LOG_LEVEL", hide_env_values = true, default_value = "info", global = true)]
    pub log_level: String,
    #[command(flatten)]
    pub identity: IdentityArgs,
    // Last, because its heading in the help applies to all arguments after it.
    #[command(flatten)]
    pub open_telemetry: OpenTelemetryArgs,
}

/// The settings of the servers.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub listen_addr: SocketAddr,
    /// `/metrics`, `/livez` and `/readyz`.
    pub http_addr: SocketAddr,
    /// The address of the service's own HTTP routes, if they have a separate one.
    pub webhook_addr: Option<SocketAddr>,
    /// For all addresses.
    pub tls: Option<ServerTlsSettings>,
    /// How often files are checked for changes.
    pub reload_interval: Duration,
    pub request_timeout: Duration,
    pub max_in_flight: usize,
    pub max_message_bytes: usize,
    /// Whether the service applies the migrations, or waits until the command `migrate` has applied them.
    pub migrate_at_start: bool,
    pub limits: ServerLimits,
    pub shutdown_pause: Duration,
    pub shutdown_drain: Duration,
    pub identity: IdentitySettings,
}

/// The database to use.
#[derive(Debug, Clone)]
pub enum DatabaseChoice {
    Url(SecretString),
    /// The private server in this home folder.
    Embedded(PathBuf),
}

/// The limits of database connections; see [`postgres::DatabaseSettings`].
#[derive(Debug, Clone, Copy)]
pub struct DatabaseLimits {
    pub max_connections: u32,
    pub min_connections: u32,
    pub acquire_timeout: Duration,
}

/// The addresses of a service, not yet validated. They are arguments of each service because their defaults differ.
#[derive(Debug, Clone, Copy)]
pub struct Addresses<'a> {
    pub listen: &'a str,
    pub http: &'a str,
    pub webhook: Option<&'a str>,
}

impl CommonArgs {
    /// Whether plaintext may leave this machine.
    pub fn allows_insecure(&self) -> bool {
        self.allow_insecure.trim() == "true"
    }
}

/// The parsed form of [`CommonArgs`] and the addresses.
#[derive(Debug, Clone)]
pub struct CommonSettings {
    pub server: ServerSettings,
    pub database: DatabaseChoice,
    pub database_limits: DatabaseLimits,
    pub gather: GatherLimits,
    pub keys: KeysChoice,
    /// How often the waiting work in the database is counted for the metrics.
    pub backlog_interval: Duration,
    pub telemetry: TelemetrySettings,
}

impl CommonSettings {
    /// Checks that a database is named, for a command that reads existing data: a new private database would be empty.
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

    /// `None` when a setting is invalid; `problems` then has the reason.
    pub fn parse(args: &CommonArgs, addresses: Addresses<'_>, problems: &mut Problems) -> Option<Self> {
        let url = problems.secret("DATABASE_URL", args.database_url.as_deref(), args.database_url_file.as_deref());
        let database = if let Some(url) = url {
            if let Err(fault) = postgres::parse_url(url.expose_secret()) {
                problems.add("DATABASE_URL", fault);
            }
            DatabaseChoice::Url(url)
        } else {
            if !embedded::IS_BUILT_IN {
                problems.add("DATABASE_URL", "is required: this program has no private PostgreSQL");
            }
            DatabaseChoice::Embedded(args.teppan_home.clone())
        };
        let server = parse_server(args, addresses, problems);
        let database_limits = parse_database_limits(args, problems);
        let connections = database_limits.map_or(1, |limits| limits.max_connections);
        let gather = args.gather.parse(connections, problems);
        let backlog_interval = problems.millis("BACKLOG_INTERVAL_MS", &args.backlog_interval_ms, 10, 3_600_000);
        let telemetry = TelemetrySettings::parse(args, problems);
        let keys = KeysChoice::parse(args, &database, problems);
        Some(Self {
            server: server?,
            database,
            database_limits: database_limits?,
            gather: gather?,
            keys: keys?,
            backlog_interval: backlog_interval?,
            telemetry: telemetry?,
        })
    }
}

fn parse_server(args: &CommonArgs, addresses: Addresses<'_>, problems: &mut Problems) -> Option<ServerSettings> {
    let mut address = |name, raw| -> Option<SocketAddr> {
        problems.parse(name, raw, "must be an address and a port, such as 127.0.0.1:50051")
    };
    let listen_addr = address("LISTEN_ADDR", addresses.listen);
    let http_addr = address("HTTP_ADDR", addresses.http);
    let webhook_addr = match addresses.webhook {
        Some(raw) => address("WEBHOOK_ADDR", raw).map(Some),
        None => Some(None),
    };
    let tls = args.tls.parse(problems);
    let allow_insecure: Option<bool> = problems.parse("ALLOW_INSECURE", &args.allow_insecure, "must be true or false");
    if allow_insecure == Some(false) {
        let grpc = Protection { tls: args.tls.are_given(), credentials: args.identity.are_given() };
        // Stripe signs its requests, and metrics and probes contain nothing secret.
        let http = Protection { credentials: true, ..grpc };
        let webhook_addr = webhook_addr.flatten();
        for (name, address, protection) in
            [("LISTEN_ADDR", listen_addr, grpc), ("HTTP_ADDR", http_addr, http), ("WEBHOOK_ADDR", webhook_addr, http)]
        {
            if let Some(address) = address {
                protection.check(name, address, problems);
            }
        }
    }
    let reload_interval = problems.millis("RELOAD_INTERVAL_MS", &args.reload_interval_ms, 10, 3_600_000);
    let request_timeout = problems.millis("REQUEST_TIMEOUT_MS", &args.request_timeout_ms, 10, 600_000);
    let max_in_flight = problems.number("MAX_IN_FLIGHT", &args.max_in_flight, "calls", 1, 1_000_000);
    let max_message_bytes = problems.number("MAX_MESSAGE_BYTES", &args.max_message_bytes, "bytes", 65_536, 64 << 20);
    let migrate_at_start = problems.parse("MIGRATE_AT_START", &args.migrate_at_start, "must be true or false");
    let limits = args.limits.parse(max_message_bytes, problems);
    let shutdown_pause = problems.millis("SHUTDOWN_PAUSE_MS", &args.shutdown_pause_ms, 0, 300_000);
    let shutdown_drain = problems.millis("SHUTDOWN_DRAIN_MS", &args.shutdown_drain_ms, 0, 3_600_000);
    let identity = args.identity.parse(problems);
    Some(ServerSettings {
        listen_addr: listen_addr?,
        http_addr: http_addr?,
        webhook_addr: webhook_addr?,
        tls: tls?,
        reload_interval: reload_interval?,
        request_timeout: request_timeout?,
        max_in_flight: usize::try_from(max_in_flight?).ok()?,
        max_message_bytes: usize::try_from(max_message_bytes?).ok()?,
        migrate_at_start: migrate_at_start?,
        limits: limits?,
        shutdown_pause: shutdown_pause?,
        shutdown_drain: shutdown_drain?,
        identity: identity?,
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
