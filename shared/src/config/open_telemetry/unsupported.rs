//! The unsupported variables of OpenTelemetry's specification. A variable that is set is refused by name, because the
//! operator expects an effect.

use std::env;

use super::super::Problems;

const SIGNALS: [(&str, &str); 2] =
    [("LOGS", "the log is not sent: it goes to stderr, see LOG_FORMAT"), ("PROFILES", "profiles are not made")];
/// The endings of the variables that each signal has, such as `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`.
const OF_A_SIGNAL: [&str; 9] = [
    "ENDPOINT",
    "PROTOCOL",
    "HEADERS",
    "TIMEOUT",
    "COMPRESSION",
    "INSECURE",
    "CERTIFICATE",
    "CLIENT_KEY",
    "CLIENT_CERTIFICATE",
];
const OTHERS: [(&str, &str); 19] = [
    ("OTEL_CONFIG_FILE", "there is no configuration by file: set the variables that --help lists"),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", "there is no configuration by file: set the variables that --help lists"),
    ("OTEL_ENTITIES", "write OTEL_RESOURCE_ATTRIBUTES"),
    ("OTEL_LOG_LEVEL", "write LOG_LEVEL, such as info,opentelemetry=debug"),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "values are not shortened: all that are recorded are short"),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "values are not shortened: all that are recorded are short"),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "the log is not sent: it goes to stderr, see LOG_FORMAT"),
    ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "the log is not sent: it goes to stderr, see LOG_FORMAT"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "the log is not sent: it goes to stderr, see LOG_FORMAT"),
    ("OTEL_BLRP_EXPORT_TIMEOUT", "the log is not sent: it goes to stderr, see LOG_FORMAT"),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "the log is not sent: it goes to stderr, see LOG_FORMAT"),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "the log is not sent: it goes to stderr, see LOG_FORMAT"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "each histogram has the bounds that docs/metrics.md names",
    ),
    ("OTEL_EXPORTER_OTLP_METRIC_INSECURE", "write OTEL_EXPORTER_OTLP_METRICS_INSECURE"),
    ("OTEL_EXPORTER_PROMETHEUS_HOST", "/metrics is on HTTP_ADDR"),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "/metrics is on HTTP_ADDR"),
    ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "traces are sent by OTLP: write OTEL_EXPORTER_OTLP_ENDPOINT"),
    ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "traces are sent by OTLP: write OTEL_EXPORTER_OTLP_TIMEOUT"),
    ("OTEL_EXPORTER_OTLP_SPAN_INSECURE", "write OTEL_EXPORTER_OTLP_TRACES_INSECURE"),
];

/// Each unsupported variable, and its replacement or the reason.
fn unsupported() -> impl Iterator<Item = (String, &'static str)> {
    let of_signals = SIGNALS.into_iter().flat_map(|(signal, instead)| {
        OF_A_SIGNAL.into_iter().map(move |rest| (format!("OTEL_EXPORTER_OTLP_{signal}_{rest}"), instead))
    });
    OTHERS.into_iter().map(|(name, instead)| (name.to_owned(), instead)).chain(of_signals)
}

pub(in super::super) fn unsupported_names() -> impl Iterator<Item = String> {
    unsupported().map(|(name, _)| name)
}

/// Reports every unsupported variable that is set.
pub(super) fn refuse(problems: &mut Problems) {
    for (name, instead) in unsupported() {
        if env::var_os(&name).is_some_and(|value| !value.is_empty()) {
            problems.add(&name, format_args!("is not supported: {instead}"));
        }
    }
}
