//! Runs a command with a throwaway PostgreSQL. It creates databases, applies migrations, and passes the URLs to the
//! command in environment variables.
//!
//! It is used to regenerate sqlx's offline data, to try a migration, and to run a benchmark.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::str::FromStr;

use clap::Parser;
use secrecy::ExposeSecret;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection};
use teppan_shared::embedded::{Durability, EmbeddedError, ThrowawayServer, exec_without_postgres_variables};
use teppan_shared::error_chain::error_chain;
use teppan_shared::tasks::StopSignals;
use tokio::process::{Child, Command};
use tracing_subscriber::EnvFilter;

/// Exit codes, as shells define them.
const FAILED: u8 = 1;
const CANNOT_RUN: u8 = 127;
const SIGNAL_BASE: i32 = 128;

/// Runs a command with a PostgreSQL that is removed afterwards.
///
/// Example: with-postgres --database DATABASE_URL=booking:booking-service/migrations -- cargo test
#[derive(Debug, Parser)]
#[command(name = "with-postgres")]
struct Arguments {
    /// For benchmarks: commits wait for the disk, and the data are in the home folder.
    #[arg(long)]
    durable: bool,

    /// A database to create. The variable ENV gets its URL; the migrations of the folder are applied if one is given.
    /// May be repeated.
    #[arg(long = "database", value_name = "ENV=NAME[:MIGRATIONS]")]
    databases: Vec<Database>,

    /// The project's folder for data and tools.
    #[arg(long, env = "TEPPAN_HOME", default_value = ".teppan")]
    home: PathBuf,

    /// The command and its arguments; its exit code becomes this program's.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Database {
    variable: String,
    name: String,
    migrations: Option<PathBuf>,
}

impl FromStr for Database {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (variable, rest) = text
            .split_once('=')
            .filter(|(variable, _)| !variable.is_empty())
            .ok_or("expected ENV=NAME or ENV=NAME:MIGRATIONS")?;
        let (name, migrations) = match rest.split_once(':') {
            Some((name, folder)) => (name, Some(PathBuf::from(folder))),
            None => (rest, None),
        };
        Ok(Self { variable: variable.to_owned(), name: name.to_owned(), migrations })
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Server(#[from] EmbeddedError),
    #[error("cannot apply the migrations in {}", folder.display())]
    Migrations { folder: PathBuf, source: MigrateError },
    #[error("cannot connect to the new database")]
    Connect(#[from] sqlx::Error),
    #[error("cannot wait for the command or for signals")]
    Wait(#[from] std::io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = exec_without_postgres_variables() {
        eprintln!("with-postgres: {}", error_chain(&error));
        return ExitCode::from(FAILED);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(&arguments).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("with-postgres: {}", error_chain(&failure));
            ExitCode::from(FAILED)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let durability = if arguments.durable { Durability::Durable } else { Durability::Volatile };
    // A signal while the server starts ends this process. The server's guard then cleans up.
    let server = ThrowawayServer::start(&arguments.home, durability).await?;
    let code = run_on(&server, arguments).await;
    server.close().await;
    code
}

async fn run_on(server: &ThrowawayServer, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut command = Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]);
    for database in &arguments.databases {
        let url = server.url(&database.name);
        server.ensure_database(&database.name).await?;
        if let Some(folder) = &database.migrations {
            migrate(url.expose_secret(), folder).await?;
        }
        command.env(&database.variable, url.expose_secret());
    }
    match command.spawn() {
        Ok(child) => Ok(exit_code(wait(child).await?)),
        Err(error) => {
            eprintln!("with-postgres: {}: {error}", arguments.command[0]);
            Ok(ExitCode::from(CANNOT_RUN))
        }
    }
}

async fn migrate(url: &str, folder: &Path) -> Result<(), Failure> {
    let failed = |source| Failure::Migrations { folder: folder.to_owned(), source };
    let migrator = Migrator::new(folder).await.map_err(failed)?;
    let mut connection = PgConnection::connect(url).await?;
    migrator.run(&mut connection).await.map_err(failed)?;
    connection.close().await?;
    Ok(())
}

/// Waits for the command. The command decides how to react to a signal.
///
/// Ctrl-C reaches both processes, so this one only ignores it. SIGTERM reaches only this process and is passed on.
/// SIGHUP is passed on too, because it reaches both processes only when a terminal is closed.
async fn wait(mut child: Child) -> Result<ExitStatus, std::io::Error> {
    let mut signals = StopSignals::receive()?;
    loop {
        let signal = tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => signal,
        };
        if let (false, Some(pid)) = (signal == "SIGINT", child.id()) {
            // The standard library can only send SIGKILL.
            let script = ["-c", "kill -s \"${0#SIG}\" \"$1\"", signal, &pid.to_string()];
            Command::new("sh").args(script).status().await?;
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| SIGNAL_BASE + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::from(FAILED), ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_argument_has_a_variable_a_name_and_optional_migrations() {
        let plain: Database = "DATABASE_URL=booking".parse().unwrap();
        assert_eq!((plain.name.as_str(), plain.migrations), ("booking", None));
        let migrated: Database = "URL=booking:a/migrations".parse().unwrap();
        assert_eq!(migrated.migrations, Some(PathBuf::from("a/migrations")));
        assert!("booking".parse::<Database>().is_err());
        assert!("=booking".parse::<Database>().is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
