//! Logs, traces and metrics.
//!
//! A trace connects a caller, the services, and work that is done days later, because its context is stored in their
//! rows. The context is passed on even if traces are not exported.

pub mod buckets;
pub(crate) mod exemplars;
mod exporter;
pub mod exposition;
mod process;

use std::{collections::HashMap, io::IsTerminal as _, sync::LazyLock};

use opentelemetry::{
    Context, KeyValue, global,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanContext, TracerProvider as _, noop::NoopTextMapPropagator},
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    resource::TelemetryResourceDetector,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tracing::{Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};
use uuid::Uuid;

pub use self::exporter::ExporterError;
use crate::config::{LogFormat, MetricsSettings, OpenTelemetrySettings, TelemetrySettings};

/// Reads stored trace context. OTEL_PROPAGATORS does not apply to it, only to the context of callers.
static STORED: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// The target of the spans that make up a trace.
pub const TRACE_TARGET: &str = "teppan";

/// The beginnings of the targets of this project's own log lines.
const OWN_TARGETS: [&str; 4] = [TRACE_TARGET, "teppan_shared", "booking_service", "conversation_service"];

/// The build of a program.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    pub version: &'static str,
    /// The git revision of the source, if it is known.
    pub revision: Option<&'static str>,
}

/// The telemetry of a process. [`Telemetry::shutdown`] sends what is still buffered.
pub struct Telemetry {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    /// The metrics of `/metrics`; `None` if there is no such page.
    pub registry: Option<prometheus::Registry>,
}

/// Why the telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("an OTLP exporter cannot be built")]
    Exporter(#[from] ExporterError),
    #[error("the metrics exporter cannot be built")]
    Metrics(#[from] opentelemetry_sdk::error::OTelSdkError),
    #[error("another subscriber is installed already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

impl Telemetry {
    /// Installs the log, the traces and the metrics of this process.
    pub fn start(service: &'static str, build: Build, settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let open_telemetry = &settings.open_telemetry;
        if open_telemetry.propagates {
            global::set_text_map_propagator(TraceContextPropagator::new());
        } else {
            global::set_text_map_propagator(NoopTextMapPropagator::new());
        }
        let resource = resource(service, build, open_telemetry);
        let traces = traces(resource.clone(), open_telemetry)?;
        let (metrics, registry) = metrics(resource, &open_telemetry.metrics)?;
        if !open_telemetry.disabled {
            global::set_meter_provider(metrics.clone());
            process::observe(build);
        }

        let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
        // Below this level libraries log what they work on: one the telephone numbers, one URLs with passwords, one the
        // headers of calls with their tokens.
        let own = OWN_TARGETS.map(|target| (target, LevelFilter::TRACE));
        let without_contents = Targets::new().with_default(LevelFilter::INFO).with_targets(own);
        // Statements, without the values of their parameters.
        let without_contents = without_contents.with_target("sqlx", LevelFilter::DEBUG);
        let filter = filter.and(without_contents);
        let json = match settings.log_format {
            LogFormat::Json => true,
            LogFormat::Text => false,
            LogFormat::Auto => !std::io::stderr().is_terminal(),
        };
        let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let log = if json {
            log.json().flatten_event(true).with_filter(filter).boxed()
        } else {
            log.with_ansi(std::io::stderr().is_terminal()).with_target(false).with_filter(filter).boxed()
        };
        let trace = tracing_opentelemetry::layer()
            .with_tracer(traces.tracer(service))
            .with_filter(Targets::new().with_target(TRACE_TARGET, LevelFilter::INFO));
        tracing_subscriber::registry().with(log).with(trace).try_init()?;
        Ok(Self { traces, metrics, registry })
    }

    /// Sends what is still buffered.
    pub fn shutdown(self) {
        if let Err(error) = self.traces.shutdown() {
            tracing::warn!(%error, "some spans were not sent");
        }
        if let Err(error) = self.metrics.shutdown() {
            tracing::warn!(%error, "the metrics did not shut down");
        }
    }
}

/// The attributes of this process. OpenTelemetry's variables take precedence over the service's own values.
fn resource(service: &'static str, build: Build, settings: &OpenTelemetrySettings) -> Resource {
    let given = settings.resource_attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.namespace", "teppan"))
        .with_attribute(KeyValue::new("service.version", build.version))
        // Distinguishes the metrics of the replicas.
        .with_attribute(KeyValue::new("service.instance.id", Uuid::new_v4().to_string()))
        .with_attributes(build.revision.map(|revision| KeyValue::new("vcs.ref.head.revision", revision)))
        .with_attributes(given);
    match &settings.service_name {
        Some(name) => resource.with_service_name(name.clone()),
        None => resource,
    }
    .build()
}

fn traces(resource: Resource, settings: &OpenTelemetrySettings) -> Result<SdkTracerProvider, ExporterError> {
    let traces = SdkTracerProvider::builder().with_resource(resource).with_span_limits(settings.limits);
    let Some(otlp) = &settings.traces else {
        // Trace ids are still generated and passed on, with the caller's sampling decision.
        return Ok(traces.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff))).build());
    };
    let batches = BatchConfigBuilder::default()
        .with_scheduled_delay(settings.batch.delay)
        .with_max_queue_size(settings.batch.queue_max)
        .with_max_export_batch_size(settings.batch.batch_max)
        .build();
    let processor = BatchSpanProcessor::builder(exporter::of_traces(otlp)?).with_batch_config(batches).build();
    Ok(traces.with_sampler(settings.sampler.clone()).with_span_processor(processor).build())
}

/// The metrics, and the registry for `/metrics`.
fn metrics(
    resource: Resource,
    settings: &MetricsSettings,
) -> Result<(SdkMeterProvider, Option<prometheus::Registry>), TelemetryError> {
    let mut metrics = SdkMeterProvider::builder().with_resource(resource);
    if let Some(otlp) = &settings.otlp {
        let exporter = exporter::of_metrics(otlp, settings.temporality)?;
        metrics = metrics.with_reader(PeriodicReader::builder(exporter).with_interval(settings.interval).build());
    }
    let registry = settings.prometheus.then(prometheus::Registry::new);
    if let Some(registry) = &registry {
        // There is only one scope, so a label for it would be useless.
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        metrics = metrics.with_reader(exporter.build()?);
        exemplars::OF_CALLS.enable(settings.exemplars);
    }
    Ok((metrics.build(), registry))
}

/// The W3C trace context in the headers of a request.
struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Makes `span` a child of the trace context in these headers, if there is one.
pub fn adopt_parent(span: &Span, headers: &http::HeaderMap) {
    if headers.contains_key("traceparent") {
        let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
        // It fails only if no trace layer is installed, and then there is no parent.
        let _ = span.set_parent(parent);
    }
}

/// The current span as a W3C `traceparent`, to be stored with the rows that the request writes.
pub fn current_traceparent() -> Option<String> {
    use opentelemetry::trace::TraceContextExt as _;

    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
}

/// The headers that continue the current span in another process: W3C trace context, unless OTEL_PROPAGATORS disables
/// it.
pub fn outgoing() -> HashMap<String, String> {
    let mut headers = HashMap::new();
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut headers));
    headers
}

/// Makes `span` a child of the span of this stored `traceparent`: later work of the same trace.
pub fn continue_from(span: &Span, traceparent: &str) {
    use opentelemetry::trace::TraceContextExt as _;

    let parent = span_context(traceparent);
    if parent.is_valid() {
        // It fails only if no trace layer is installed, and then there is no parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Links `span` to the span of this stored `traceparent`.
pub fn link(span: &Span, traceparent: &str) {
    span.add_link(span_context(traceparent));
}

/// Whether the span of this stored `traceparent` is recorded.
pub fn is_recorded(traceparent: &str) -> bool {
    span_context(traceparent).is_sampled()
}

fn span_context(traceparent: &str) -> SpanContext {
    use opentelemetry::trace::TraceContextExt as _;

    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let stored = STORED.extract_with_context(&Context::new(), &carrier);
    stored.span().span_context().clone()
}

/// The trace of a span.
pub struct Trace {
    pub id: String,
    /// Whether the trace is recorded.
    pub is_recorded: bool,
}

/// The trace of `span`.
pub fn trace_of(span: &Span) -> Option<Trace> {
    use opentelemetry::trace::TraceContextExt as _;

    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| Trace { id: span.trace_id().to_string(), is_recorded: span.is_sampled() })
}
