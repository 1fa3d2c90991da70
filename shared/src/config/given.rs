//! Reads the command line and the environment. It also finds settings without a value, and variables that look like
//! misspelt settings.

use std::{any::TypeId, env, fmt, path::PathBuf};

use clap::{
    Arg, ArgMatches, Command, Parser,
    builder::{OsStringValueParser, TypedValueParser as _},
    parser::ValueSource,
};
use strsim::osa_distance;

use super::{Problems, open_telemetry};

/// Settings that other code reads from the environment.
const READ_ELSEWHERE: [&str; 2] = ["POSTGRES_BIN_DIR", WORKER_THREADS];
const WORKER_THREADS: &str = "TOKIO_WORKER_THREADS";

/// Reads the command line and the environment.
///
/// The problems contain every setting that was given without a value. An invalid command line and `--help` end the
/// process.
pub fn read<C: Parser>() -> (C, Problems, Misspelt) {
    // clap's parser for paths ends the process for an empty path. Here it is reported with the other problems.
    let is_path = |arg: &Arg| arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    let any_path = OsStringValueParser::new().map(PathBuf::from);
    let command = C::command().mut_args(|arg| if is_path(&arg) { arg.value_parser(any_path.clone()) } else { arg });
    let matches = command.clone().get_matches();
    let cli = C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut problems = Problems::default();
    for name in empty(&command, &matches) {
        problems.empty(&name);
    }
    // The runtime reads this variable itself, and panics when it is not a number.
    if let Ok(raw) = env::var(WORKER_THREADS) {
        problems.number(WORKER_THREADS, &raw, "threads", 1, 1024);
    }
    let given = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    (cli, problems, Misspelt::among(given, &known(&command)))
}

/// The settings that were given without a value. OpenTelemetry's variables are left out: by its specification an empty
/// value counts as unset.
fn empty(command: &Command, matches: &ArgMatches) -> Vec<String> {
    let settings = command.get_arguments().filter_map(|arg| Some((arg.get_id().as_str(), arg.get_env()?.to_str()?)));
    let is_given =
        |id: &str| matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
    let is_blank = |id: &str| {
        let mut values = matches.get_raw(id).into_iter().flatten();
        values.all(|value| value.to_str().is_some_and(|value| value.trim().is_empty()))
    };
    let empty = settings.filter(|(id, name)| !name.starts_with("OTEL_") && is_given(id) && is_blank(id));
    empty.map(|(_, name)| name.to_owned()).collect()
}

/// The name of every setting.
fn known(command: &Command) -> Vec<String> {
    let settings = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
    settings.chain(READ_ELSEWHERE).map(ToOwned::to_owned).chain(open_telemetry::unsupported_names()).collect()
}

/// Environment variables that look like misspelt settings, with the setting that was probably meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Misspelt(Vec<(String, String)>);

impl Misspelt {
    /// Logs a warning for each, with its name and without its value.
    pub fn warn(&self) {
        for (given, meant) in &self.0 {
            tracing::warn!(given, meant, "an environment variable that looks like a misspelt setting is ignored");
        }
    }

    fn among(given: impl Iterator<Item = String>, known: &[String]) -> Self {
        let meant = |given: &String| {
            let near = known.iter().filter_map(|known| Some((distance(given, known)?, known)));
            near.min().map(|(_, known)| known.clone())
        };
        let unknown = given.filter(|given| !known.contains(given));
        let mut found: Vec<_> = unknown.filter_map(|given| meant(&given).map(|meant| (given, meant))).collect();
        found.sort();
        Self(found)
    }
}

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (given, meant) in &self.0 {
            writeln!(f, "{given} is not a setting and is ignored: is {meant} meant?")?;
        }
        Ok(())
    }
}

/// The distance of a name from a setting's name; `None` if the name is probably not that setting misspelt. Other
/// programs have variables too, so only two kinds of names count: those that differ in underscores, case, `ADDRESS` for
/// `ADDR` or the unit at the end; and those with the same first letter and one typing error, or two in a long name.
fn distance(given: &str, setting: &str) -> Option<usize> {
    if words(without_unit(given)) == words(without_unit(setting)) {
        return Some(0);
    }
    let (given, setting) = (words(given), words(setting));
    let errors_max = if setting.len() >= 12 { 2 } else { 1 };
    let may_be_near = given.len().abs_diff(setting.len()) <= errors_max && given.get(..1) == setting.get(..1);
    let errors = may_be_near.then(|| osa_distance(&given, &setting))?;
    (errors <= errors_max).then_some(errors)
}

/// The letters and digits of a name.
fn words(name: &str) -> String {
    let bare: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    bare.to_ascii_uppercase().replace("ADDRESS", "ADDR")
}

fn without_unit(name: &str) -> &str {
    const UNITS: [&str; 12] =
        ["MS", "MILLIS", "MILLISECONDS", "S", "SEC", "SECS", "SECONDS", "MIN", "MINUTES", "HOURS", "DAYS", "BYTES"];
    match name.rsplit_once('_') {
        Some((stem, unit)) if UNITS.contains(&unit.to_ascii_uppercase().as_str()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [&str; 11] = [
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "ENCRYPTION_KEYS",
        "HTTP_ADDR",
        "LISTEN_ADDR",
        "LOG_LEVEL",
        "MAX_IN_FLIGHT",
        "NATS_URL",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "PHONE_REGION",
        "REQUEST_TIMEOUT_MS",
    ];

    fn misspelt(given: &[&str]) -> Vec<(String, String)> {
        let known: Vec<_> = SETTINGS.into_iter().map(ToOwned::to_owned).collect();
        Misspelt::among(given.iter().map(|name| (*name).to_owned()), &known).0
    }

    #[test]
    fn a_misspelt_setting_is_reported_with_the_setting_that_was_meant() {
        for (given, meant) in [
            ("MAX_INFLIGHT", "MAX_IN_FLIGHT"),
            ("MAX_IN_FLIGHTS", "MAX_IN_FLIGHT"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("DATABASE_URLFILE", "DATABASE_URL_FILE"),
            ("database_url", "DATABASE_URL"),
            ("LISTEN_ADDRESS", "LISTEN_ADDR"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("REQUEST_TIMEOUT", "REQUEST_TIMEOUT_MS"),
            ("REQUEST_TIMEOUT_SECONDS", "REQUEST_TIMEOUT_MS"),
            ("ENCRYPTION_KEY", "ENCRYPTION_KEYS"),
            ("OTEL_EXPORTER_OTLP_TRACE_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ] {
            assert_eq!(misspelt(&[given]), [(given.to_owned(), meant.to_owned())]);
        }
    }

    #[test]
    fn variables_of_other_programs_are_not_reported() {
        let others = [
            "PATH",
            "HOME",
            "LANG",
            "LOGNAME",
            "HOSTNAME",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "DATABASE_HOST",
            "DATABASE_USER",
            "DATABASE_NAME",
            "DATABASE_SSL",
            "DATABASE_PASSWORD",
            "NATS_PORT",
            "NATS_SERVICE_HOST",
            "NATS_USER",
            "LOG_FILE",
            "LOG_DIR",
            "LISTEN_FDS",
            "LISTEN_PID",
            "PGHOST",
            "HTTP_PORT",
            "HASH_SEED",
            "RUST_LOG",
            "REQUEST_ID",
            "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
            "OTEL_PYTHON_LOG_LEVEL",
            "GLOG_LEVEL",
            "A",
            "",
        ];
        assert_eq!(misspelt(&others), []);
        assert_eq!(misspelt(&SETTINGS), []);
    }
}
