//! The destinations of metrics.

use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::{OpenTelemetryArgs, OtlpSettings, Problems, Signal, given, number, only};

/// The destinations of metrics: `/metrics`, a receiver, both, or none.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// Whether `/metrics` serves them.
    pub prometheus: bool,
    /// The receiver; `None` when they are not sent.
    pub otlp: Option<OtlpSettings>,
    /// How often they are sent.
    pub interval: Duration,
    /// The temporality of sent metrics.
    pub temporality: Temporality,
    /// Whether `/metrics` shows exemplars.
    pub exemplars: bool,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            prometheus: true,
            otlp: None,
            interval: Duration::from_mins(1),
            temporality: Temporality::Cumulative,
            exemplars: true,
        }
    }
}

impl MetricsSettings {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub(super) fn parse(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Self> {
        let exporters = parse_exporters(args, problems);
        let signal = Signal::metrics(args);
        let otlp = OtlpSettings::parse(&signal, problems);
        let (name, raw) = ("OTEL_METRIC_EXPORT_INTERVAL", args.otel_metric_export_interval.as_deref());
        let interval = number(name, raw, 60_000, 1, problems);
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        let raw = args.otel_exporter_otlp_metrics_temporality_preference.as_deref().map(str::to_ascii_lowercase);
        let temporality = only(name, raw.as_deref(), &["cumulative", "delta", "lowmemory"], problems);
        let (name, raw) = ("OTEL_METRICS_EXEMPLAR_FILTER", args.otel_metrics_exemplar_filter.as_deref());
        let exemplars = only(name, raw, &["trace_based", "always_off"], problems);
        let exporters = exporters?;
        // An endpoint for metrics alone means that they are to be sent. An endpoint for all signals was often set only
        // for traces.
        let sends = exporters.map_or(signal.endpoint.is_given_for_the_signal(), |exporters| exporters.otlp);
        Some(Self {
            prometheus: exporters.is_none_or(|exporters| exporters.prometheus),
            otlp: otlp.map(|otlp| sends.then_some(otlp))?,
            interval: Duration::from_millis(interval?.into()),
            temporality: match temporality {
                Some("delta") => Temporality::Delta,
                Some("lowmemory") => Temporality::LowMemory,
                _ => Temporality::Cumulative,
            },
            exemplars: exemplars != Some("always_off"),
        })
    }
}

#[derive(Clone, Copy)]
struct Exporters {
    prometheus: bool,
    otlp: bool,
}

/// `Some(None)` when none are named.
fn parse_exporters(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Option<Exporters>> {
    let Some(value) = given(args.otel_metrics_exporter.as_deref()) else { return Some(None) };
    let names: Vec<_> = value.split(',').map(str::trim).collect();
    let all_known = names.iter().all(|name| ["otlp", "prometheus", "none"].contains(name));
    if !all_known || (names.contains(&"none") && names.len() > 1) {
        problems.add(
            "OTEL_METRICS_EXPORTER",
            "must be prometheus, otlp, both with a comma, or none: nothing else is supported",
        );
        return None;
    }
    Some(Some(Exporters { prometheus: names.contains(&"prometheus"), otlp: names.contains(&"otlp") }))
}
