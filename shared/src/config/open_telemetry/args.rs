use clap::Args;

/// The supported variables of OpenTelemetry, not yet validated. By its specification, an empty value counts as unset.
#[derive(Args, Default)]
#[command(next_help_heading = "OpenTelemetry (an empty value counts as none)")]
pub struct OpenTelemetryArgs {
    /// true records no traces and no metrics, and ignores the settings below except OTEL_PROPAGATORS: trace context
    /// is still passed on
    #[arg(long, env = "OTEL_SDK_DISABLED", hide_env_values = true, global = true)]
    pub(super) otel_sdk_disabled: Option<String>,
    /// Name of the service in traces and metrics, instead of its own
    #[arg(long, env = "OTEL_SERVICE_NAME", hide_env_values = true, value_name = "NAME", global = true)]
    pub(super) otel_service_name: Option<String>,
    /// Further attributes of this process, as key=value,key=value, percent-encoded
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", hide_env_values = true, global = true)]
    pub(super) otel_resource_attributes: Option<String>,
    /// How trace context is passed on: tracecontext, baggage (none is ever made or kept), or none; the default is
    /// tracecontext,baggage
    #[arg(long, env = "OTEL_PROPAGATORS", hide_env_values = true, global = true)]
    pub(super) otel_propagators: Option<String>,
    /// otlp sends traces, none does not. Without it they are sent when an OTLP endpoint is given
    #[arg(long, env = "OTEL_TRACES_EXPORTER", hide_env_values = true, global = true)]
    pub(super) otel_traces_exporter: Option<String>,
    /// prometheus serves metrics on /metrics, otlp sends them, none does neither; or both, as otlp,prometheus. Without
    /// it they are served, and also sent when OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is given
    #[arg(long, env = "OTEL_METRICS_EXPORTER", hide_env_values = true, global = true)]
    pub(super) otel_metrics_exporter: Option<String>,
    /// console or none: the log goes to stderr, and is never sent
    #[arg(long, env = "OTEL_LOGS_EXPORTER", hide_env_values = true, global = true)]
    pub(super) otel_logs_exporter: Option<String>,
    /// Which traces are recorded: always_on, always_off, traceidratio, parentbased_always_on (the default),
    /// parentbased_always_off or parentbased_traceidratio
    #[arg(long, env = "OTEL_TRACES_SAMPLER", hide_env_values = true, global = true)]
    pub(super) otel_traces_sampler: Option<String>,
    /// Share of the traces that a traceidratio sampler records, from 0 to 1; the default is 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", hide_env_values = true, global = true)]
    pub(super) otel_traces_sampler_arg: Option<String>,
    /// OTLP receiver, such as http://127.0.0.1:4317 for grpc or http://127.0.0.1:4318 for http/protobuf,
    /// which adds /v1/traces and /v1/metrics. https:// is encrypted
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL", global = true)]
    pub(super) otel_exporter_otlp_endpoint: Option<String>,
    /// The same for traces alone; for http/protobuf with its whole path
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", hide_env_values = true, value_name = "URL", global = true)]
    pub(super) otel_exporter_otlp_traces_endpoint: Option<String>,
    /// The same for metrics alone; for http/protobuf with its whole path
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        hide_env_values = true,
        value_name = "URL",
        global = true
    )]
    pub(super) otel_exporter_otlp_metrics_endpoint: Option<String>,
    /// grpc (the default) or http/protobuf
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_protocol: Option<String>,
    /// The same for traces alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_traces_protocol: Option<String>,
    /// The same for metrics alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_metrics_protocol: Option<String>,
    /// Headers that are sent along, such as an API key of the receiver: name=value,name=value, percent-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_headers: Option<String>,
    /// The same for traces alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_traces_headers: Option<String>,
    /// The same for metrics alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_HEADERS", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_metrics_headers: Option<String>,
    /// Longest time that sending a batch may take, in milliseconds; the default is 10000
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_timeout: Option<String>,
    /// The same for traces alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_traces_timeout: Option<String>,
    /// The same for metrics alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_metrics_timeout: Option<String>,
    /// gzip or none (the default)
    #[arg(long, env = "OTEL_EXPORTER_OTLP_COMPRESSION", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_compression: Option<String>,
    /// The same for traces alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_traces_compression: Option<String>,
    /// The same for metrics alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_metrics_compression: Option<String>,
    /// Whether a grpc endpoint without a scheme is reached without TLS: true or false, the default
    #[arg(long, env = "OTEL_EXPORTER_OTLP_INSECURE", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_insecure: Option<String>,
    /// The same for traces alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_INSECURE", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_traces_insecure: Option<String>,
    /// The same for metrics alone
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_INSECURE", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_metrics_insecure: Option<String>,
    /// File of the certificate authorities, in PEM, that may sign the receiver's certificate; without it those that the
    /// machine trusts
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CERTIFICATE", hide_env_values = true, value_name = "PATH", global = true)]
    pub(super) otel_exporter_otlp_certificate: Option<String>,
    /// The same for traces alone
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_traces_certificate: Option<String>,
    /// The same for metrics alone
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_metrics_certificate: Option<String>,
    /// File of this process's private key, in PEM, for TLS with a client certificate
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CLIENT_KEY", hide_env_values = true, value_name = "PATH", global = true)]
    pub(super) otel_exporter_otlp_client_key: Option<String>,
    /// The same for traces alone
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_traces_client_key: Option<String>,
    /// The same for metrics alone
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_metrics_client_key: Option<String>,
    /// File of the client certificate of that key, followed by those that signed it, in PEM
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_client_certificate: Option<String>,
    /// The same for traces alone
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_traces_client_certificate: Option<String>,
    /// The same for metrics alone
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
        hide_env_values = true,
        value_name = "PATH",
        global = true
    )]
    pub(super) otel_exporter_otlp_metrics_client_certificate: Option<String>,
    /// Pause between two sendings of metrics, in milliseconds; the default is 60000
    #[arg(long, env = "OTEL_METRIC_EXPORT_INTERVAL", hide_env_values = true, global = true)]
    pub(super) otel_metric_export_interval: Option<String>,
    /// Longest time that sending metrics may take, in milliseconds; the default is 30000
    #[arg(long, env = "OTEL_METRIC_EXPORT_TIMEOUT", hide_env_values = true, global = true)]
    pub(super) otel_metric_export_timeout: Option<String>,
    /// How metrics that are sent count: cumulative (the default), delta or lowmemory
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", hide_env_values = true, global = true)]
    pub(super) otel_exporter_otlp_metrics_temporality_preference: Option<String>,
    /// trace_based (the default): on /metrics, calls whose trace is recorded are exemplars; always_off: there are none
    #[arg(long, env = "OTEL_METRICS_EXEMPLAR_FILTER", hide_env_values = true, global = true)]
    pub(super) otel_metrics_exemplar_filter: Option<String>,
    /// Pause between two batches of spans, in milliseconds; the default is 5000
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY", hide_env_values = true, global = true)]
    pub(super) otel_bsp_schedule_delay: Option<String>,
    /// Longest time that sending a batch of spans may take, in milliseconds; the default is 30000
    #[arg(long, env = "OTEL_BSP_EXPORT_TIMEOUT", hide_env_values = true, global = true)]
    pub(super) otel_bsp_export_timeout: Option<String>,
    /// Spans that may wait to be sent, more are dropped; the default is 2048
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE", hide_env_values = true, global = true)]
    pub(super) otel_bsp_max_queue_size: Option<String>,
    /// Spans of a batch, at most those that may wait; the default is 512
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", hide_env_values = true, global = true)]
    pub(super) otel_bsp_max_export_batch_size: Option<String>,
    /// Attributes of a span, an event or a link, more are dropped; the default is 128
    #[arg(long, env = "OTEL_ATTRIBUTE_COUNT_LIMIT", hide_env_values = true, global = true)]
    pub(super) otel_attribute_count_limit: Option<String>,
    /// The same for spans alone
    #[arg(long, env = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", hide_env_values = true, global = true)]
    pub(super) otel_span_attribute_count_limit: Option<String>,
    /// The same for events alone
    #[arg(long, env = "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", hide_env_values = true, global = true)]
    pub(super) otel_event_attribute_count_limit: Option<String>,
    /// The same for links alone
    #[arg(long, env = "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", hide_env_values = true, global = true)]
    pub(super) otel_link_attribute_count_limit: Option<String>,
    /// Events of a span, more are dropped; the default is 128
    #[arg(long, env = "OTEL_SPAN_EVENT_COUNT_LIMIT", hide_env_values = true, global = true)]
    pub(super) otel_span_event_count_limit: Option<String>,
    /// Links of a span, more are dropped; the default is 128
    #[arg(long, env = "OTEL_SPAN_LINK_COUNT_LIMIT", hide_env_values = true, global = true)]
    pub(super) otel_span_link_count_limit: Option<String>,
}
