//! pgbench: the statement without the service around it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;

use crate::{
    error::BenchError,
    sample::{Sample, Timing},
};

/// What the services set on their connections: see `shared/src/postgres`.
const SESSION: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c timezone=UTC -c jit=off \
                       -c statement_timeout=11000 -c idle_in_transaction_session_timeout=30s \
                       -c client_connection_check_interval=500ms";
/// More threads than this would take the two cores of a small machine from the database.
const THREADS_MAX: usize = 2;

/// Where pgbench is.
pub struct Pgbench(PathBuf);

/// Statements as pgbench runs them, one after the other, and the values it fills in.
pub struct Script {
    /// Commands of pgbench that set variables before each run of the statements.
    pub prelude: String,
    /// The statements with their parameters replaced.
    statements: Vec<String>,
    /// Variables that stay as they are.
    pub variables: Vec<(&'static str, String)>,
}

impl Script {
    /// Puts `parameters[n - 1]` in the place of each `$n`.
    ///
    /// Comments go, because pgbench would replace a colon and a word in them too.
    pub fn new(statement: &str, parameters: &[&str]) -> Self {
        let script = Self { prelude: String::new(), statements: Vec::new(), variables: Vec::new() };
        script.then(statement, parameters)
    }

    /// Runs this statement after those before, timed together with them.
    pub fn then(mut self, statement: &str, parameters: &[&str]) -> Self {
        let lines = statement.lines().map(|line| line.split("--").next().unwrap_or_default().trim_end());
        let bare: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        self.statements.push(replace_parameters(&bare.join("\n"), parameters));
        self
    }

    fn text(&self) -> String {
        self.statements.iter().fold(self.prelude.clone(), |text, statement| format!("{text}{statement};\n"))
    }
}

fn replace_parameters(statement: &str, parameters: &[&str]) -> String {
    let mut pieces = statement.split('$');
    let mut replaced = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let number: usize = piece[..end].parse().expect("a dollar sign begins a parameter");
        replaced.push('(');
        replaced.push_str(parameters[number - 1]);
        replaced.push(')');
        replaced.push_str(&piece[end..]);
    }
    replaced
}

impl Pgbench {
    /// pgbench where PostgreSQL's other programs are looked for too.
    pub fn find(home: &Path) -> Result<Self, BenchError> {
        let folders = match std::env::var_os("POSTGRES_BIN_DIR").filter(|set| !set.is_empty()) {
            Some(folder) => vec![folder.into()],
            None => candidates(home),
        };
        let found = folders.iter().map(|folder| folder.join("pgbench")).find(|path| path.is_file());
        found.map(Self).ok_or_else(|| {
            let looked_at = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
            BenchError::NoPgbench { looked_at }
        })
    }

    /// What it says its version is.
    pub async fn version(&self) -> Result<String, BenchError> {
        let output = Command::new(&self.0).arg("--version").output().await.map_err(BenchError::file(&self.0))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs a script with this many clients, each on a connection of its own.
    pub async fn run(
        &self,
        script: &Script,
        database: &SecretString,
        clients: usize,
        timing: Timing,
    ) -> Result<Sample, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::file(std::env::temp_dir()))?;
        let file = folder.path().join("script.sql");
        fs::write(&file, script.text()).map_err(BenchError::file(&file))?;

        let mut command = Command::new(&self.0);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--log"])
            .arg(format!("--log-prefix={}", folder.path().join("log").display()))
            .arg(format!("--file={}", file.display()))
            .arg(format!("--client={clients}"))
            .arg(format!("--jobs={}", clients.min(THREADS_MAX)))
            .arg(format!("--time={}", (timing.warm_up + timing.counted).as_secs()))
            .args(script.variables.iter().map(|(name, value)| format!("--define={name}={value}")))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        connect_to(&mut command, database)?;
        let output = command.output().await.map_err(BenchError::file(&self.0))?;
        if !output.status.success() {
            return Err(BenchError::Pgbench(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        read_logs(folder.path(), timing)
    }
}

fn candidates(home: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut folders = vec![home.join("tools/postgres/bin")];
    folders.extend(versions.into_iter().map(|(_, folder)| folder));
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders
}

/// By the environment: arguments are seen by everybody, and the password is among these.
fn connect_to(command: &mut Command, database: &SecretString) -> Result<(), BenchError> {
    let url: Uri = database.expose_secret().parse().map_err(|_| BenchError::DatabaseUrl)?;
    let authority = url.authority().ok_or(BenchError::DatabaseUrl)?;
    let (login, _) = authority.as_str().rsplit_once('@').ok_or(BenchError::DatabaseUrl)?;
    let (user, password) = login.split_once(':').ok_or(BenchError::DatabaseUrl)?;
    command
        .env("PGHOST", authority.host())
        .env("PGPORT", authority.port_u16().ok_or(BenchError::DatabaseUrl)?.to_string())
        .env("PGUSER", user)
        .env("PGPASSWORD", password)
        .env("PGDATABASE", url.path().trim_start_matches('/'))
        .env("PGSSLMODE", "disable")
        .env("PGOPTIONS", SESSION);
    Ok(())
}

/// One transaction of pgbench's log.
struct Transaction {
    /// Since the epoch.
    ended: Duration,
    latency: Duration,
}

/// Counts what the threads logged, from the start of the first transaction on.
fn read_logs(folder: &Path, timing: Timing) -> Result<Sample, BenchError> {
    let mut transactions = Vec::new();
    for entry in fs::read_dir(folder).map_err(BenchError::file(folder))?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("log.") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).map_err(BenchError::file(entry.path()))?;
        for line in text.lines() {
            transactions.push(parse_line(line).ok_or_else(|| BenchError::PgbenchLog(line.to_owned()))?);
        }
    }
    let begun = transactions.iter().map(|one| one.ended.saturating_sub(one.latency)).min().unwrap_or_default();
    let mut sample = Sample::new(timing);
    for one in transactions {
        sample.add(one.ended.saturating_sub(begun), one.latency, timing);
    }
    Ok(sample)
}

/// `client transaction latency_us script ended_s ended_us`
fn parse_line(line: &str) -> Option<Transaction> {
    let fields: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Transaction {
        latency: Duration::from_micros(number(2)?),
        ended: Duration::from_secs(number(4)?) + Duration::from_micros(number(5)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_replaced_and_comments_dropped() {
        let script = Script::new("SELECT $1::text, $12 -- not :this $1\n-- nor this\nFROM t", &["a"; 12]);
        assert_eq!(script.text(), "SELECT (a)::text, (a)\nFROM t;\n");
        let script = script.then("SELECT $1", &["b"]);
        assert_eq!(script.text(), "SELECT (a)::text, (a)\nFROM t;\nSELECT (b);\n");
    }

    #[test]
    fn a_line_of_the_log_is_read() {
        let one = parse_line("0 199 2241 0 1175850568 995598").expect("can be read");
        assert_eq!(one.latency, Duration::from_micros(2241));
        assert_eq!(one.ended, Duration::new(1_175_850_568, 995_598_000));
        assert!(parse_line("0 199 skipped 0 1175850568 995598").is_none());
    }
}
