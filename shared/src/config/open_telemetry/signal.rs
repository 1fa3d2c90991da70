//! The variables of a signal (traces or metrics). A variable for one signal takes precedence over that for all signals.

use super::{OpenTelemetryArgs, given};

/// The variable that applies to a signal.
#[derive(Clone, Copy)]
pub(super) struct Variable<'a> {
    /// The name of the variable that applies.
    pub name: &'static str,
    /// `None` when it is not given.
    pub value: Option<&'a str>,
    is_of_the_signal: bool,
}

/// The variables of traces or of metrics.
pub(super) struct Signal<'a> {
    /// The path that is added to an HTTP endpoint for all signals.
    pub path: &'static str,
    pub endpoint: Variable<'a>,
    pub protocol: Variable<'a>,
    pub headers: Variable<'a>,
    pub timeout: Variable<'a>,
    /// The second time limit of sending.
    pub batch_timeout: Variable<'a>,
    pub compression: Variable<'a>,
    pub insecure: Variable<'a>,
    pub certificate: Variable<'a>,
    pub client_key: Variable<'a>,
    pub client_certificate: Variable<'a>,
}

impl<'a> Variable<'a> {
    fn of(signal: (&'static str, &'a Option<String>), all: (&'static str, &'a Option<String>)) -> Self {
        match given(signal.1.as_deref()) {
            value @ Some(_) => Self { name: signal.0, value, is_of_the_signal: true },
            None => Self { name: all.0, value: given(all.1.as_deref()), is_of_the_signal: false },
        }
    }

    fn alone(name: &'static str, raw: Option<&'a str>) -> Self {
        Self { name, value: given(raw), is_of_the_signal: true }
    }

    pub fn is_given(self) -> bool {
        self.value.is_some()
    }

    /// Whether the variable for this signal alone is given.
    pub fn is_given_for_the_signal(self) -> bool {
        self.is_of_the_signal && self.is_given()
    }
}

impl<'a> Signal<'a> {
    pub fn traces(args: &'a OpenTelemetryArgs) -> Self {
        Self {
            path: "v1/traces",
            batch_timeout: Variable::alone("OTEL_BSP_EXPORT_TIMEOUT", args.otel_bsp_export_timeout.as_deref()),
            endpoint: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &args.otel_exporter_otlp_traces_endpoint),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &args.otel_exporter_otlp_endpoint),
            ),
            protocol: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", &args.otel_exporter_otlp_traces_protocol),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", &args.otel_exporter_otlp_protocol),
            ),
            headers: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", &args.otel_exporter_otlp_traces_headers),
                ("OTEL_EXPORTER_OTLP_HEADERS", &args.otel_exporter_otlp_headers),
            ),
            timeout: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", &args.otel_exporter_otlp_traces_timeout),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", &args.otel_exporter_otlp_timeout),
            ),
            compression: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", &args.otel_exporter_otlp_traces_compression),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", &args.otel_exporter_otlp_compression),
            ),
            insecure: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", &args.otel_exporter_otlp_traces_insecure),
                ("OTEL_EXPORTER_OTLP_INSECURE", &args.otel_exporter_otlp_insecure),
            ),
            certificate: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &args.otel_exporter_otlp_traces_certificate),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", &args.otel_exporter_otlp_certificate),
            ),
            client_key: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", &args.otel_exporter_otlp_traces_client_key),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &args.otel_exporter_otlp_client_key),
            ),
            client_certificate: Variable::of(
                ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", &args.otel_exporter_otlp_traces_client_certificate),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &args.otel_exporter_otlp_client_certificate),
            ),
        }
    }

    pub fn metrics(args: &'a OpenTelemetryArgs) -> Self {
        Self {
            path: "v1/metrics",
            batch_timeout: Variable::alone("OTEL_METRIC_EXPORT_TIMEOUT", args.otel_metric_export_timeout.as_deref()),
            endpoint: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &args.otel_exporter_otlp_metrics_endpoint),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &args.otel_exporter_otlp_endpoint),
            ),
            protocol: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", &args.otel_exporter_otlp_metrics_protocol),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", &args.otel_exporter_otlp_protocol),
            ),
            headers: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", &args.otel_exporter_otlp_metrics_headers),
                ("OTEL_EXPORTER_OTLP_HEADERS", &args.otel_exporter_otlp_headers),
            ),
            timeout: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", &args.otel_exporter_otlp_metrics_timeout),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", &args.otel_exporter_otlp_timeout),
            ),
            compression: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", &args.otel_exporter_otlp_metrics_compression),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", &args.otel_exporter_otlp_compression),
            ),
            insecure: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", &args.otel_exporter_otlp_metrics_insecure),
                ("OTEL_EXPORTER_OTLP_INSECURE", &args.otel_exporter_otlp_insecure),
            ),
            certificate: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", &args.otel_exporter_otlp_metrics_certificate),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", &args.otel_exporter_otlp_certificate),
            ),
            client_key: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", &args.otel_exporter_otlp_metrics_client_key),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &args.otel_exporter_otlp_client_key),
            ),
            client_certificate: Variable::of(
                ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", &args.otel_exporter_otlp_metrics_client_certificate),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &args.otel_exporter_otlp_client_certificate),
            ),
        }
    }
}
