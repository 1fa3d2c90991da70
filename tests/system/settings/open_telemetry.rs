//! OpenTelemetry variables that are refused. The module `open_telemetry` beside this folder tests the supported ones.

use std::fs;

use super::run;

#[test]
fn unsupported_variables_are_reported_by_name_and_never_by_value() {
    let refused = [
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_METRICS_EXPORTER", "otlp,hunter2"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_TRACES_SAMPLER", "parent_based_always_on"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "hunter2"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/hunter2.pem"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "hunter2"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "hunter2"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
        ("OTEL_LOG_LEVEL", "hunter2"),
        ("OTEL_CONFIG_FILE", "/nowhere/hunter2"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "hunter2"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_on"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "hunter2"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://hunter2"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "9464"),
        ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://hunter2"),
    ];
    let names: Vec<_> = refused.iter().map(|(name, _)| *name).collect();
    let (code, _, stderr) = run(&refused, &["migrate"]);
    assert_eq!((code, stderr.contains("hunter2")), (Some(2), false), "{stderr}");
    let mut reported: Vec<_> = stderr.lines().skip(1).filter_map(|line| line.trim().split_once(": ")).collect();
    reported.sort_by_key(|(name, _)| names.iter().position(|listed| listed == name));
    assert_eq!(reported.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names, "{stderr}");
}

#[test]
fn each_wrong_variable_is_reported_under_its_own_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text");
    fs::write(&text, "not PEM").expect("written");
    let text = text.to_str().expect("UTF-8");
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2://127.0.0.1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:hunter2@127.0.0.1"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "=hunter2"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "yes"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://user:hunter2@127.0.0.1"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "=hunter2"),
        ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", text),
        ("OTEL_METRICS_EXPORTER", "none,otlp"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", text),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3000"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
    ] {
        let (code, _, stderr) = run(&[(name, value)], &["migrate"]);
        let lines: Vec<_> = stderr.lines().skip(1).collect();
        assert!(code == Some(2) && lines.len() == 1, "{name}: {stderr}");
        assert!(lines[0].trim().starts_with(&format!("{name}: ")) && !stderr.contains("hunter2"), "{stderr}");
    }
    for ratio in ["1.5", "NaN", "-0.1", "half"] {
        let sampler = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
        let (code, _, stderr) = run(&sampler, &["migrate"]);
        assert!(code == Some(2) && stderr.contains("OTEL_TRACES_SAMPLER_ARG: must be"), "{ratio}: {stderr}");
    }
    let (code, _, stderr) = run(&[("OTEL_EXPORTER_OTLP_CLIENT_KEY", text)], &["migrate"]);
    assert!(code == Some(2) && stderr.contains("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: is missing"), "{stderr}");
}

#[test]
fn a_disabled_sdk_ignores_every_other_variable_but_the_propagators() {
    let given = [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_METRICS_EXPORTER", "otlp"), ("ENCRYPTION_KEYS", "wrong")];
    let (_, _, stderr) = run(&given, &["migrate"]);
    assert!(stderr.contains("ENCRYPTION_KEYS") && !stderr.contains("OTEL_"), "{stderr}");
    let (code, _, stderr) = run(&[("OTEL_SDK_DISABLED", "true"), ("OTEL_PROPAGATORS", "b3")], &["migrate"]);
    assert!(code == Some(2) && stderr.contains("OTEL_PROPAGATORS: must be"), "{stderr}");
}
