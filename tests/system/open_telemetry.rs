//! The supported OpenTelemetry variables, against an OTLP receiver.

use std::{collections::HashMap, fs};

use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric::Data};
use teppan_tests::{
    clients, fixtures,
    harness::{self, eventually},
    launch::{Process, Which},
    otlp::{Carrier, Certified, Received, ReceivedMetric, Receiver},
    scrape::Scrape,
};

use crate::{environment, trace};

/// The histogram of calls on `/metrics`.
const CALLS: &str = "rpc_server_call_duration_seconds";

/// What a conversation-service with these variables exports about itself.
struct Exported {
    spans: Vec<Received>,
    /// The trace context that is stored with the message.
    traceparent: String,
    /// The metrics that were sent.
    sent: Vec<ReceivedMetric>,
    /// What `/metrics` showed.
    metrics: Scrape,
}

/// Stores a message through a service with these variables, within a trace of the caller's, and stops the service.
/// The service exports its data before it ends.
async fn run_and_export(receiver: &Receiver, variables: &[(&str, String)]) -> Exported {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let environment: HashMap<_, _> = environment::with_keys(&url).chain(variables).collect();
    let process = Process::start(Which::Conversation, &environment).await.expect("the process starts");
    let mut client = clients::conversations(process.grpc);
    let message = fixtures::message(&fixtures::conversation_id(), "Hello");
    eventually("the message is stored", async || client.store_message(trace::traced(message.clone())).await.is_ok())
        .await;
    let metrics = Scrape::of(process.http, "*/*").await;
    assert!(process.stop().await);
    let traceparent: String = harness::scalar(&url, "SELECT traceparent FROM messages").await;
    Exported { spans: receiver.spans(), sent: receiver.metrics(), traceparent, metrics }
}

/// The span of the StoreMessage call.
fn stored(exported: &Exported) -> &Received {
    let stored =
        exported.spans.iter().find(|it| it.span.name.ends_with("StoreMessage") && it.trace_id() == trace::TRACE_ID);
    stored.unwrap_or_else(|| panic!("no span of the call: {:?}", exported.spans))
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_sent_over_grpc_to_the_traces_endpoint_with_resource_attributes() {
    let receiver = Receiver::start().await;
    let exported = run_and_export(
        &receiver,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1".to_owned()),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.address.to_string()),
            ("OTEL_EXPORTER_OTLP_INSECURE", "true".to_owned()),
            ("OTEL_SERVICE_NAME", "chats".to_owned()),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,deployment.environment.name=a%2Cb,service.namespace=mine".to_owned(),
            ),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b".to_owned()),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
            // An empty variable counts as not set.
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", String::new()),
            ("OTEL_TRACES_SAMPLER", String::new()),
        ],
    )
    .await;
    let stored = stored(&exported);
    for (key, value) in [
        ("service.name", "chats"),
        ("service.namespace", "mine"),
        ("deployment.environment.name", "a,b"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(stored.resource.get(key).map(String::as_str), Some(value), "{:?}", stored.resource);
    }
    let header = |name| stored.headers.get(name).map(|value| value.to_str().expect("ASCII"));
    assert_eq!((header("api-key"), header("grpc-encoding")), (Some("a b"), Some("gzip")), "{:?}", stored.headers);
    assert!(exported.metrics.types.contains_key(CALLS), "{}", exported.metrics.text);
    assert!(exported.sent.is_empty(), "metrics are not sent by default");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_sent_over_http_below_the_endpoint_or_to_the_one_for_traces() {
    for (name, path, expected) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "/base/", "/base/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/own", "/own"),
    ] {
        let receiver = Receiver::start_as(Carrier::Http, None).await;
        let exported = run_and_export(
            &receiver,
            &[
                (name, format!("http://{}{path}", receiver.address)),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
                ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret".to_owned()),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip".to_owned()),
            ],
        )
        .await;
        let stored = stored(&exported);
        assert_eq!((stored.path.as_str(), stored.service.as_str()), (expected, "conversation-service"));
        assert_eq!(stored.headers["api-key"], "secret");
        assert_eq!(stored.headers["content-encoding"], "gzip");
        assert_eq!(stored.headers["content-type"], "application/x-protobuf");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_receiver_is_reached_when_its_certificate_is_trusted() {
    let (certified, folder) = (Certified::new(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("certificate.pem");
    fs::write(&file, &certified.certificate).expect("written");
    let file = file.to_str().expect("UTF-8");
    for (carrier, protocol) in [(Carrier::Grpc, "grpc"), (Carrier::Http, "http/protobuf")] {
        let receiver = Receiver::start_as(carrier, Some(&certified)).await;
        let mut variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("https://{}", receiver.address)),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            // A short timeout: the first export fails.
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000".to_owned()),
        ];
        // The service trusts another certificate than the receiver's.
        variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", another_certificate(folder.path())));
        assert!(run_and_export(&receiver, &variables).await.spans.is_empty(), "{protocol}");
        variables.pop();
        variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", file.to_owned()));
        stored(&run_and_export(&receiver, &variables).await);
    }
}

fn another_certificate(folder: &std::path::Path) -> String {
    let path = folder.join("another.pem");
    fs::write(&path, Certified::new().certificate).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spans_are_sent_with_the_exporter_none_the_sampler_always_off_or_the_sdk_disabled() {
    let receiver = Receiver::start().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.address));
    for (name, value) in
        [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_SAMPLER", "always_off"), ("OTEL_SDK_DISABLED", "true")]
    {
        let exported = run_and_export(&receiver, &[endpoint.clone(), (name, value.to_owned())]).await;
        assert!(exported.spans.is_empty(), "{name}: {:?}", exported.spans);
        assert!(exported.traceparent.contains(trace::TRACE_ID), "{name}: the trace context is still stored");
        let shown = exported.metrics.types.contains_key(CALLS);
        assert_eq!(shown, name != "OTEL_SDK_DISABLED", "{}", exported.metrics.text);
    }
    let ratio = |sampler: &str, share: &str| {
        [endpoint.clone(), ("OTEL_TRACES_SAMPLER", sampler.to_owned()), ("OTEL_TRACES_SAMPLER_ARG", share.to_owned())]
    };
    assert!(run_and_export(&receiver, &ratio("traceidratio", "0")).await.spans.is_empty());
    // The caller's trace is sampled, and the sampler follows its parent.
    stored(&run_and_export(&receiver, &ratio("parentbased_traceidratio", "0")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_propagators_a_callers_trace_is_not_continued() {
    let receiver = Receiver::start().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.address));
    let exported = run_and_export(&receiver, &[endpoint, ("OTEL_PROPAGATORS", "none".to_owned())]).await;
    assert!(
        !exported.traceparent.is_empty() && !exported.traceparent.contains(trace::TRACE_ID),
        "{}",
        exported.traceparent
    );
    let stored = exported.spans.iter().find(|it| it.span.name.ends_with("StoreMessage"));
    assert!(stored.is_some_and(|it| it.span.parent_span_id.is_empty()), "{:?}", exported.spans);
}

/// The temporality of the histogram of calls, as it was sent.
fn temporality(exported: &Exported) -> AggregationTemporality {
    let calls = exported.sent.iter().find(|it| it.metric.name == "rpc.server.call.duration");
    let calls = calls.unwrap_or_else(|| panic!("no histogram of calls: {:?}", exported.sent));
    match &calls.metric.data {
        Some(Data::Histogram(histogram)) => histogram.aggregation_temporality(),
        other => panic!("no histogram: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_sent_over_grpc_and_http_with_resource_attributes() {
    let receiver = Receiver::start().await;
    let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("http://{}", receiver.address));
    let first = run_and_export(&receiver, &[own, ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret".to_owned())]).await;
    assert_eq!(temporality(&first), AggregationTemporality::Cumulative);
    assert!(first.spans.is_empty(), "this endpoint receives metrics only");
    assert!(first.metrics.types.contains_key(CALLS), "/metrics shows them too");
    let sent = &first.sent[0];
    assert_eq!(sent.service, "conversation-service");
    assert_eq!(sent.headers["api-key"], "secret");
    assert_eq!(sent.resource["service.instance.id"].len(), 36, "{:?}", sent.resource);

    let receiver = Receiver::start_as(Carrier::Http, None).await;
    let second = run_and_export(
        &receiver,
        &[
            ("OTEL_METRICS_EXPORTER", "otlp".to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}/base", receiver.address)),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip".to_owned()),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta".to_owned()),
        ],
    )
    .await;
    assert_eq!(temporality(&second), AggregationTemporality::Delta);
    stored(&second);
    assert_eq!(second.sent[0].path, "/base/v1/metrics");
    assert_eq!(second.sent[0].headers["content-encoding"], "gzip");
    assert_ne!(second.sent[0].resource["service.instance.id"], sent.resource["service.instance.id"]);
    assert_eq!(second.metrics.code, 404, "/metrics exists only with the exporter prometheus");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_metrics_are_sent_and_none_are_shown_with_the_metrics_exporter_none() {
    let receiver = Receiver::start().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("http://{}", receiver.address));
    let exported = run_and_export(&receiver, &[endpoint, ("OTEL_METRICS_EXPORTER", "none".to_owned())]).await;
    assert!(exported.sent.is_empty() && exported.metrics.code == 404, "{:?}", exported.sent);
}
