//! The settings of the log and of OpenTelemetry.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::{CommonArgs, OpenTelemetrySettings, Problems};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

/// A valid filter of the log.
struct LogFilter;

impl FromStr for LogFilter {
    type Err = ();

    /// The library reads a word that is not a level as the name of a module, and then logs nothing else. It does the
    /// same for a level next to a space. Here such a word counts as a misspelt level.
    fn from_str(raw: &str) -> Result<Self, ()> {
        let is_misspelt = |word: &str| !word.contains('=') && word.parse::<LevelFilter>().is_err();
        // Within the brackets of a span, commas separate its fields.
        let is_misspelt = !raw.contains('[') && raw.split(',').any(is_misspelt);
        if raw.parse::<EnvFilter>().is_ok() && !is_misspelt { Ok(Self) } else { Err(()) }
    }
}

/// The settings of the log and of OpenTelemetry.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    pub log_format: LogFormat,
    pub log_level: String,
    pub open_telemetry: OpenTelemetrySettings,
}

impl TelemetrySettings {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub(super) fn parse(args: &CommonArgs, problems: &mut Problems) -> Option<Self> {
        let log_format = problems.parse("LOG_FORMAT", &args.log_format, "must be auto, text or json");
        let filter: Option<LogFilter> = problems.parse(
            "LOG_LEVEL",
            args.log_level.trim(),
            "must be off, error, warn, info, debug, trace, or a filter such as info,sqlx=debug",
        );
        let open_telemetry = OpenTelemetrySettings::parse(&args.open_telemetry, problems);
        filter?;
        let log_level = args.log_level.trim().to_owned();
        Some(Self { log_format: log_format?, log_level, open_telemetry: open_telemetry? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_not_a_valid_filter() {
        for filter in ["info", "WARN", "off", "", "info,sqlx=debug", "warn,tonic=off", "info,[request]"] {
            assert!(filter.parse::<LogFilter>().is_ok(), "{filter:?}");
        }
        for misspelt in ["inf", "warning", "info,sqlx", "sqlx=debgu", "info,debgu,sqlx=debug", "warn, info"] {
            assert!(misspelt.parse::<LogFilter>().is_err(), "{misspelt:?}");
        }
    }
}
