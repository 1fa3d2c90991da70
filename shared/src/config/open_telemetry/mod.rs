//! OpenTelemetry's standard variables, as its specification describes them: the general ones and those of the OTLP
//! exporter. Unsupported variables are refused by name.

mod args;
mod exporter;
mod metrics;
mod signal;
mod unsupported;

use std::time::Duration;

use opentelemetry_sdk::trace::{Sampler, SpanLimits};
use percent_encoding::percent_decode_str;

use self::signal::Signal;
pub(super) use self::unsupported::unsupported_names;
pub use self::{
    args::OpenTelemetryArgs,
    exporter::{OtlpProtocol, OtlpSettings, TlsSettings},
    metrics::MetricsSettings,
};
use super::Problems;

/// What telemetry is recorded, and where it is sent.
#[derive(Debug, Clone)]
pub struct OpenTelemetrySettings {
    /// Nothing is recorded, neither traces nor metrics.
    pub disabled: bool,
    /// Replaces the service's own name.
    pub service_name: Option<String>,
    /// Further attributes of the process.
    pub resource_attributes: Vec<(String, String)>,
    /// Whether trace context is accepted from callers and passed on.
    pub propagates: bool,
    pub sampler: Sampler,
    pub limits: SpanLimits,
    pub batch: BatchSettings,
    /// The receiver of traces; `None` when they are not sent.
    pub traces: Option<OtlpSettings>,
    pub metrics: MetricsSettings,
}

/// The batches in which spans are sent.
#[derive(Debug, Clone)]
pub struct BatchSettings {
    pub delay: Duration,
    pub queue_max: usize,
    pub batch_max: usize,
}

impl Default for OpenTelemetrySettings {
    /// The specification's defaults, except for the endpoint: without one nothing is sent.
    fn default() -> Self {
        Self {
            disabled: false,
            service_name: None,
            resource_attributes: Vec::new(),
            propagates: true,
            sampler: Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            limits: SpanLimits::default(),
            batch: BatchSettings { delay: Duration::from_secs(5), queue_max: 2048, batch_max: 512 },
            traces: None,
            metrics: MetricsSettings::default(),
        }
    }
}

impl OpenTelemetrySettings {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub(super) fn parse(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Self> {
        let disabled = flag("OTEL_SDK_DISABLED", args.otel_sdk_disabled.as_deref(), problems);
        // By the specification, propagators work even if the SDK is disabled.
        let propagates = parse_propagators(args, problems);
        if disabled == Some(true) {
            return Some(Self { disabled: true, propagates: propagates?, ..Self::default() });
        }
        unsupported::refuse(problems);
        only("OTEL_LOGS_EXPORTER", args.otel_logs_exporter.as_deref(), &["console", "none"], problems);
        let resource_attributes = parse_resource_attributes(args, problems);
        let sampler = parse_sampler(args, problems);
        let limits = parse_limits(args, problems);
        let batch = BatchSettings::parse(args, problems);
        let traces = parse_traces(args, problems);
        let metrics = MetricsSettings::parse(args, problems);
        Some(Self {
            disabled: disabled?,
            service_name: given(args.otel_service_name.as_deref()).map(ToOwned::to_owned),
            resource_attributes: resource_attributes?,
            propagates: propagates?,
            sampler: sampler?,
            limits: limits?,
            batch: batch?,
            traces: traces?,
            metrics: metrics?,
        })
    }
}

/// The value of a variable; an empty one counts as unset.
fn given(raw: Option<&str>) -> Option<&str> {
    raw.map(str::trim).filter(|value| !value.is_empty())
}

fn flag(name: &str, raw: Option<&str>, problems: &mut Problems) -> Option<bool> {
    let Some(value) = given(raw) else { return Some(false) };
    problems.parse(name, &value.to_ascii_lowercase(), "must be true or false")
}

/// The value of a variable that allows only these values. Another value is reported.
fn only<'a>(name: &str, raw: Option<&'a str>, allowed: &[&str], problems: &mut Problems) -> Option<&'a str> {
    let value = given(raw)?;
    if !allowed.contains(&value) {
        problems.add(name, format_args!("must be {}: nothing else is supported", allowed.join(" or ")));
    }
    Some(value)
}

fn number(name: &str, raw: Option<&str>, unset: u32, least: u32, problems: &mut Problems) -> Option<u32> {
    let Some(value) = given(raw) else { return Some(unset) };
    let number = value.parse().ok().filter(|number| *number >= least);
    if number.is_none() {
        problems.add(name, format_args!("must be a whole number from {least} to {}", u32::MAX));
    }
    number
}

/// Pairs of `name=value`, separated by commas, the values percent-encoded.
fn pairs(raw: Option<&str>) -> Option<Vec<(String, String)>> {
    let pairs = given(raw).unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let decode = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
        Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
    });
    decoded.collect()
}

fn parse_resource_attributes(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Vec<(String, String)>> {
    let attributes = pairs(args.otel_resource_attributes.as_deref());
    if attributes.is_none() {
        problems.add("OTEL_RESOURCE_ATTRIBUTES", "must be key=value,key=value, percent-encoded");
    }
    attributes
}

fn parse_propagators(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<bool> {
    let Some(value) = given(args.otel_propagators.as_deref()) else { return Some(true) };
    let propagators: Vec<_> = value.split(',').map(str::trim).collect();
    let all_known = propagators.iter().all(|one| ["tracecontext", "baggage", "none"].contains(one));
    if !all_known || (propagators.contains(&"none") && propagators.len() > 1) {
        problems.add(
            "OTEL_PROPAGATORS",
            "must be tracecontext, baggage, both with a comma, or none: nothing else is supported",
        );
        return None;
    }
    Some(propagators.contains(&"tracecontext"))
}

/// `Some(None)` when traces are not sent.
fn parse_traces(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Option<OtlpSettings>> {
    let exporter = only("OTEL_TRACES_EXPORTER", args.otel_traces_exporter.as_deref(), &["otlp", "none"], problems);
    let signal = Signal::traces(args);
    let otlp = OtlpSettings::parse(&signal, problems)?;
    let sends = exporter.map_or(signal.endpoint.is_given(), |exporter| exporter == "otlp");
    Some(sends.then_some(otlp))
}

fn parse_sampler(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Sampler> {
    const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    let name = given(args.otel_traces_sampler.as_deref()).unwrap_or("parentbased_always_on");
    let arg = given(args.otel_traces_sampler_arg.as_deref());
    if arg.is_some() && !name.ends_with("traceidratio") {
        problems
            .add(ARG, "belongs to traceidratio and parentbased_traceidratio: set OTEL_TRACES_SAMPLER to one of them");
    }
    let root = match name.strip_prefix("parentbased_").unwrap_or(name) {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => {
            let ratio = arg.map_or(Some(1.0), |raw| raw.parse().ok()).filter(|ratio| (0.0..=1.0).contains(ratio));
            if ratio.is_none() {
                problems.add(ARG, "must be a number from 0 to 1");
            }
            Sampler::TraceIdRatioBased(ratio?)
        }
        _ => {
            problems.add(
                "OTEL_TRACES_SAMPLER",
                "must be always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                 parentbased_traceidratio: nothing else is supported",
            );
            return None;
        }
    };
    Some(if name.starts_with("parentbased_") { Sampler::ParentBased(Box::new(root)) } else { root })
}

fn parse_limits(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<SpanLimits> {
    let mut limit = |name, raw: &Option<String>, unset| number(name, raw.as_deref(), unset, 0, problems);
    let attributes = limit("OTEL_ATTRIBUTE_COUNT_LIMIT", &args.otel_attribute_count_limit, 128);
    let of_all = attributes.unwrap_or_default();
    let of_spans = limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", &args.otel_span_attribute_count_limit, of_all);
    let of_events = limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", &args.otel_event_attribute_count_limit, of_all);
    let of_links = limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", &args.otel_link_attribute_count_limit, of_all);
    let events = limit("OTEL_SPAN_EVENT_COUNT_LIMIT", &args.otel_span_event_count_limit, 128);
    let links = limit("OTEL_SPAN_LINK_COUNT_LIMIT", &args.otel_span_link_count_limit, 128);
    attributes?;
    Some(SpanLimits {
        max_events_per_span: events?,
        max_attributes_per_span: of_spans?,
        max_links_per_span: links?,
        max_attributes_per_event: of_events?,
        max_attributes_per_link: of_links?,
    })
}

impl BatchSettings {
    fn parse(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Self> {
        let delay_ms = number("OTEL_BSP_SCHEDULE_DELAY", args.otel_bsp_schedule_delay.as_deref(), 5000, 0, problems);
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", args.otel_bsp_max_queue_size.as_deref(), 2048, 1, problems);
        let (name, raw) = ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", args.otel_bsp_max_export_batch_size.as_deref());
        let batch = number(name, raw, queue.unwrap_or(512).min(512), 1, problems);
        if queue.zip(batch).is_some_and(|(queue, batch)| batch > queue) {
            problems.add(name, "must not be more than OTEL_BSP_MAX_QUEUE_SIZE");
        }
        Some(Self {
            delay: Duration::from_millis(delay_ms?.into()),
            queue_max: usize::try_from(queue?).ok()?,
            batch_max: usize::try_from(batch?).ok()?,
        })
    }
}
