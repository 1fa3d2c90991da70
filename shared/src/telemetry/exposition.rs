//! The text of `/metrics`: OpenMetrics for clients that accept it, otherwise Prometheus's text format.
//!
//! The library's own encoder supports neither OpenMetrics nor exemplars.

use std::{
    fmt::{Display, Write as _},
    time::UNIX_EPOCH,
};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{self, Exemplar, Exemplars};

/// The histogram that has exemplars.
const CALLS: &str = "rpc_server_call_duration_seconds";

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// The format for a client that accepts these media types, as its `Accept` header lists them.
    pub fn accepted(accept: &str) -> Self {
        let takes_open_metrics = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|it| it.eq_ignore_ascii_case("application/openmetrics-text"));
            let weight = parts.find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok());
            is_it && weight.is_none_or(|weight| weight > 0.0)
        });
        if takes_open_metrics { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The metrics of the process as text.
    pub fn write(self, families: &[MetricFamily]) -> String {
        self.write_with(families, &exemplars::OF_CALLS)
    }

    fn write_with(self, families: &[MetricFamily], exemplars: &Exemplars) -> String {
        let mut text = Text { format: self, out: String::with_capacity(64 * 1024) };
        for family in families {
            text.family(family, exemplars);
        }
        if self == Self::OpenMetrics {
            text.out.push_str("# EOF\n");
        }
        text.out
    }
}

struct Text {
    format: Format,
    out: String,
}

impl Text {
    fn family(&mut self, family: &MetricFamily, exemplars: &Exemplars) {
        let (name, kind) = (family.name(), family.get_field_type());
        let (header, kind_name) = match (kind, self.format) {
            // In OpenMetrics, the name of a counter lacks the suffix of its samples.
            (MetricType::COUNTER, Format::OpenMetrics) => (name.strip_suffix("_total").unwrap_or(name), "counter"),
            (MetricType::COUNTER, Format::Text) => (name, "counter"),
            (MetricType::HISTOGRAM, _) => (name, "histogram"),
            _ => (name, "gauge"),
        };
        let help = match self.format {
            Format::Text => without_line_breaks(family.help()),
            Format::OpenMetrics => escaped(family.help()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {header} {help}");
        let _ = writeln!(self.out, "# TYPE {header} {kind_name}");
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => self.sample(name, "", metric, None, metric.get_counter().get_value(), None),
                MetricType::HISTOGRAM => self.histogram(name, metric, metric.get_histogram(), exemplars),
                _ => self.sample(name, "", metric, None, metric.get_gauge().get_value(), None),
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric, histogram: &Histogram, exemplars: &Exemplars) {
        let label =
            |wanted: &str| metric.get_label().iter().find(|it| it.name() == wanted).map_or("", LabelPair::value);
        let (method, code) = (label("rpc_method"), label("rpc_response_status_code"));
        let exemplar = |bucket| if name == CALLS { exemplars.get(method, code, bucket) } else { None };
        let bounded = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
        let mut count = 0;
        for (index, bucket) in bounded.enumerate() {
            // Always with a decimal point, so that both formats have the same label.
            let bound = format!("{:?}", bucket.upper_bound());
            self.sample(name, "_bucket", metric, Some(&bound), bucket.cumulative_count(), exemplar(index).as_ref());
            count = index + 1;
        }
        let total = histogram.get_sample_count();
        self.sample(name, "_bucket", metric, Some("+Inf"), total, exemplar(count).as_ref());
        self.sample(name, "_sum", metric, None, histogram.get_sample_sum(), None);
        self.sample(name, "_count", metric, None, total, None);
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        metric: &Metric,
        bound: Option<&str>,
        value: impl Display,
        exemplar: Option<&Exemplar>,
    ) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        let labels = metric.get_label().iter().map(|label| (label.name(), escaped(label.value())));
        let labels = labels.chain(bound.map(|bound| ("le", bound.to_owned())));
        let mut separator = '{';
        for (label, value) in labels {
            let _ = write!(self.out, "{separator}{label}=\"{value}\"");
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        let _ = write!(self.out, " {value}");
        if let Some(it) = exemplar.filter(|_| self.format == Format::OpenMetrics) {
            let at = it.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let _ = write!(self.out, " # {{trace_id=\"{}\"}} {} {at:.3}", it.trace_id, it.seconds);
        }
        self.out.push('\n');
    }
}

fn escaped(text: &str) -> String {
    without_line_breaks(text).replace('"', "\\\"")
}

fn without_line_breaks(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    use super::*;

    #[test]
    fn clients_that_accept_open_metrics_get_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8, text/plain;version=0.0.4;q=0.5, */*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("application/openmetrics-text; version=1.0.0"), Format::OpenMetrics);
        for other in ["", "*/*", "text/html", "application/openmetrics-text;q=0,text/plain"] {
            assert_eq!(Format::accepted(other), Format::Text, "{other}");
        }
    }

    fn families() -> Vec<MetricFamily> {
        let registry = Registry::new();
        let calls = HistogramOpts::new(CALLS, "How long calls take.").buckets(super::super::buckets::CALLS.to_vec());
        let calls = HistogramVec::new(calls, &["rpc_method", "rpc_response_status_code"]).expect("sound");
        let refusals = IntCounterVec::new(Opts::new("refusals_total", "A \"refusal\"."), &["reason"]).expect("sound");
        registry.register(Box::new(calls.clone())).expect("its name is free");
        registry.register(Box::new(refusals.clone())).expect("its name is free");
        calls.with_label_values(&["S/M", "OK"]).observe(0.6);
        refusals.with_label_values(&["A\\B"]).inc_by(3);
        registry.gather()
    }

    #[test]
    fn the_formats_differ_in_the_names_of_counters_exemplars_and_the_end() {
        let exemplars = Exemplars::default();
        let at = UNIX_EPOCH + Duration::from_millis(1_800_000_000_250);
        exemplars.record("S/M", "OK", Exemplar { trace_id: "4bf9".to_owned(), seconds: 0.6, at });
        let [text, open] = [Format::Text, Format::OpenMetrics].map(|it| it.write_with(&families(), &exemplars));
        let bucket =
            "rpc_server_call_duration_seconds_bucket{rpc_method=\"S/M\",rpc_response_status_code=\"OK\",le=\"0.75\"} 1";
        let exemplar = " # {trace_id=\"4bf9\"} 0.6 1800000000.250";
        let counter = "refusals_total{reason=\"A\\\\B\"} 3";
        let lines = |text: &str, line: &str| text.lines().filter(|it| *it == line).count();
        for line in [bucket, counter, "# TYPE refusals_total counter", "# HELP refusals_total A \"refusal\"."] {
            assert_eq!(lines(&text, line), 1, "{line}: {text}");
        }
        let help = "# HELP refusals A \\\"refusal\\\".";
        for line in [&format!("{bucket}{exemplar}"), counter, "# TYPE refusals counter", help] {
            assert_eq!(lines(&open, line), 1, "{line}: {open}");
        }
        assert!(!text.contains("trace_id") && open.matches("trace_id").count() == 1, "{text}{open}");
        assert!(open.ends_with("_count{rpc_method=\"S/M\",rpc_response_status_code=\"OK\"} 1\n# EOF\n"), "{open}");
        for bound in ["le=\"1.0\"", "le=\"+Inf\""] {
            assert!(text.contains(bound) && open.contains(bound), "{bound}");
        }
    }
}
