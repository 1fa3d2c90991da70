//! Metrics: after a journey through both services, `/metrics` and OTLP show exactly what docs/metrics.md lists.

mod journey;
mod page;

use std::{collections::BTreeSet, time::Duration};

use teppan_tests::{
    harness,
    scrape::{OPEN_METRICS, Sample, Scrape},
};

use self::{journey::Journey, page::Row};

/// The suffixes of a histogram's samples.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

#[tokio::test(flavor = "multi_thread")]
async fn after_a_journey_exactly_the_documented_metrics_exist_and_each_has_changed() {
    let journey = Journey::play().await;
    for (service, http) in
        [("booking-service", journey.booking.http), ("conversation-service", journey.conversation.http)]
    {
        let rows = page::rows_of(service);
        let mut scrape = Scrape::default();
        let missing = |scrape: &Scrape| -> Vec<String> {
            let is_missing = |row: &&Row| !row.is_optional && !scrape.types.contains_key(&row.prometheus);
            rows.iter().filter(is_missing).map(|row| row.prometheus.clone()).collect()
        };
        harness::within(Duration::from_secs(20), "every metric of the page is shown", async || {
            scrape = Scrape::of(http, "text/plain").await;
            missing(&scrape).is_empty()
        })
        .await;
        assert_agrees(service, &scrape, &rows);
        assert_nothing_personal(&scrape, &journey);
        assert_sent(service, &journey, &rows).await;
    }
    assert_values(&journey).await;
    journey.stop().await;
}

fn assert_agrees(service: &str, scrape: &Scrape, rows: &[Row]) {
    for (name, kind) in &scrape.types {
        let row = rows.iter().find(|row| row.prometheus == *name);
        let row = row.unwrap_or_else(|| panic!("{service} shows {name}, which docs/metrics.md does not list"));
        assert_eq!(row.kind, *kind, "{name} of {service}");
        if row.is_open {
            continue;
        }
        let is_its = |sample: &&Sample| match kind.as_str() {
            "histogram" => OF_HISTOGRAMS.iter().any(|suffix| sample.name == format!("{name}{suffix}")),
            _ => sample.name == *name,
        };
        let shown: BTreeSet<_> = scrape
            .samples
            .iter()
            .filter(is_its)
            .flat_map(|it| it.labels.keys().cloned())
            .filter(|it| it != "le")
            .collect();
        let optional = |label: &&String| *label != "error_type";
        let (named, shown): (BTreeSet<_>, BTreeSet<_>) =
            (row.labels.iter().filter(optional).collect(), shown.iter().filter(optional).collect());
        assert_eq!(named, shown, "the labels of {name} of {service}");
    }
}

/// No label contains an id, a message or a name.
fn assert_nothing_personal(scrape: &Scrape, journey: &Journey) {
    for secret in &journey.secrets {
        assert!(!scrape.text.contains(secret.as_str()), "{secret} is in the metrics");
    }
}

/// OTLP sends the same metrics, under the names in docs/metrics.md.
async fn assert_sent(service: &str, journey: &Journey, rows: &[Row]) {
    let named = otlp_names(rows.iter());
    let expected = otlp_names(rows.iter().filter(|row| !row.is_optional));
    harness::eventually("every metric is sent", async || {
        let sent = journey.receiver.metrics();
        let sent: BTreeSet<_> = sent.into_iter().filter(|it| it.service == service).map(|it| it.metric.name).collect();
        assert!(sent.is_subset(&named), "not on the page: {:?}", sent.difference(&named));
        sent.is_superset(&expected)
    })
    .await;
}

fn otlp_names<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeSet<String> {
    rows.filter_map(|row| row.otlp.clone()).collect()
}

/// The journey shows in the values.
async fn assert_values(journey: &Journey) {
    let expect = async |what: &str, http, holds: fn(&Scrape) -> bool| {
        let mut last = String::new();
        let moved = async {
            loop {
                let scrape = Scrape::of(http, OPEN_METRICS).await;
                if holds(&scrape) {
                    return;
                }
                last = scrape.text;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let moved = tokio::time::timeout(Duration::from_secs(20), moved).await;
        assert!(moved.is_ok(), "{what}:\n{last}");
    };
    let (booking, conversation) = (journey.booking.http, journey.conversation.http);
    for (what, holds) in BOOKING {
        expect(what, booking, *holds).await;
    }
    for (what, holds) in CONVERSATION {
        expect(what, conversation, *holds).await;
    }
}

type Holds = fn(&Scrape) -> bool;

const CREATE: (&str, &str) = ("rpc_method", "teppan.booking.v1.BookingService/CreateBooking");
const STORE: (&str, &str) = ("rpc_method", "teppan.conversation.v1.ConversationService/StoreMessage");

fn at_least(scrape: &Scrape, name: &str, labels: &[(&str, &str)], least: f64) -> bool {
    scrape.sum(name, labels).is_some_and(|value| value >= least)
}

fn is(scrape: &Scrape, name: &str, labels: &[(&str, &str)], value: f64) -> bool {
    scrape.sum(name, labels).is_some_and(|it| (it - value).abs() < 1e-9)
}

const BOOKING: &[(&str, Holds)] = &[
    ("calls are counted by method and code, and one is an exemplar of its bucket", |it| {
        let ok = [CREATE, ("rpc_response_status_code", "OK")];
        at_least(it, "rpc_server_call_duration_seconds_count", &ok, 3.0)
            && it.all("rpc_server_call_duration_seconds_bucket", &ok).any(|sample| sample.trace_id.is_some())
    }),
    ("a fault of the server has an error type, a refusal has none", |it| {
        let name = "rpc_server_call_duration_seconds_count";
        is(it, name, &[("error_type", "UNIMPLEMENTED")], 1.0)
            && it
                .all(name, &[("rpc_response_status_code", "FAILED_PRECONDITION")])
                .all(|s| !s.labels.contains_key("error_type"))
    }),
    ("refusals are counted by reason", |it| {
        at_least(it, "teppan_server_refusals_total", &[CREATE, ("reason", "SLOT_FULL")], 1.0)
            && is(it, "teppan_server_refusals_total", &[("reason", "METHOD_NOT_IMPLEMENTED")], 1.0)
    }),
    ("a replay is counted", |it| is(it, "teppan_server_replays_total", &[CREATE], 1.0)),
    ("readiness is one state", |it| {
        is(it, "teppan_readiness", &[("state", "ready")], 1.0) && is(it, "teppan_readiness", &[], 1.0)
    }),
    ("the pool keeps its limit, and calls have waited for a connection", |it| {
        is(it, "db_client_connection_max", &[], 2.0)
            && it.sum("db_client_connection_count", &[]).is_some_and(|count| (1.0..=2.0).contains(&count))
            && at_least(it, "db_client_connection_create_time_seconds_count", &[], 1.0)
            && at_least(it, "db_client_connection_wait_time_seconds_count", &[], 1.0)
            && is(it, "db_client_connection_timeouts_total", &[], 0.0)
    }),
    ("bookings were gathered, and none waits now", |it| {
        at_least(it, "teppan_gather_calls_count", &[("teppan_gather_kind", "CreateBooking")], 1.0)
            && at_least(it, "teppan_gather_wait_seconds_count", &[("teppan_gather_kind", "CreateBooking")], 1.0)
            && is(it, "teppan_gather_waiting", &[], 0.0)
    }),
    ("bookings waited in the slot queue, and none waits now", |it| {
        at_least(it, "teppan_slot_queue_wait_seconds_count", &[], 1.0) && is(it, "teppan_slot_queue_waiting", &[], 0.0)
    }),
    ("one hold is pending, and one ran out", |it| {
        is(it, "teppan_holds", &[("state", "pending")], 1.0)
            && is(it, "teppan_holds", &[("state", "overdue")], 0.0)
            && is(it, "teppan_holds_expired_total", &[], 1.0)
    }),
    ("two joined the waitlist, one of them has taken an offer, and one waits", |it| {
        is(it, "teppan_waitlist_changes_total", &[("change", "joined")], 2.0)
            && is(it, "teppan_waitlist_changes_total", &[("change", "offered")], 1.0)
            && is(it, "teppan_waitlist_changes_total", &[("change", "accepted")], 1.0)
            && is(it, "teppan_waitlist_entries", &[("state", "waiting")], 1.0)
    }),
    ("a reader follows the events", |it| {
        is(it, "teppan_event_stream_streams", &[], 1.0) && at_least(it, "teppan_event_stream_events_total", &[], 3.0)
    }),
    ("everything was delivered to conversation-service and NATS", |it| {
        ["conversation-service", "event-stream"].iter().all(|destination| {
            let delivered = [("destination", *destination), ("outcome", "delivered")];
            at_least(it, "teppan_outbox_deliveries_total", &delivered, 1.0)
                && is(it, "teppan_outbox_pending", &[("destination", *destination)], 0.0)
        })
    }),
    ("an event of Stripe is set aside", |it| {
        is(it, "teppan_stripe_event_set_aside", &[], 1.0)
            && is(it, "teppan_stripe_webhook_requests_total", &[("outcome", "stored")], 1.0)
    }),
    ("workers run, and none has failed", |it| {
        at_least(it, "teppan_worker_runs_total", &[("worker", "hold-expiry"), ("outcome", "done")], 2.0)
            && is(it, "teppan_worker_runs_total", &[("outcome", "panic")], 0.0)
            && at_least(it, "teppan_worker_last_success_timestamp_seconds", &[("worker", "backlog")], 1.7e9)
    }),
    ("the process is described", |it| {
        is(it, "teppan_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0)
            && at_least(it, "process_memory_usage_bytes", &[], 1e6)
            && at_least(it, "process_start_time_seconds", &[], 1.7e9)
            && at_least(it, "process_unix_file_descriptor_count", &[], 5.0)
    }),
];

const CONVERSATION: &[(&str, Holds)] = &[
    ("messages are counted, and one is an exemplar of its bucket", |it| {
        let ok = [STORE, ("rpc_response_status_code", "OK")];
        at_least(it, "rpc_server_call_duration_seconds_count", &ok, 2.0)
            && it.all("rpc_server_call_duration_seconds_bucket", &ok).any(|sample| sample.trace_id.is_some())
    }),
    ("a replay is counted", |it| is(it, "teppan_server_replays_total", &[STORE], 1.0)),
    ("no emotion waits to be counted", |it| {
        is(it, "teppan_emotion_aggregation_pending", &[], 0.0)
            && at_least(it, "teppan_worker_items_total", &[("worker", "emotion-aggregation"), ("outcome", "done")], 1.0)
    }),
    ("follow-ups are scheduled, become ready, are claimed and completed, and one is put back", |it| {
        [("scheduled", 4.0), ("ready", 3.0), ("claimed", 2.0), ("completed", 1.0), ("put_back", 1.0), ("missed", 0.0)]
            .into_iter()
            .all(|(change, count)| at_least(it, "teppan_follow_up_changes_total", &[("change", change)], count))
            && at_least(it, "teppan_follow_up_claim_lag_seconds_count", &[], 2.0)
    }),
    ("one follow-up can be claimed", |it| {
        at_least(it, "teppan_follow_ups", &[("state", "claimable")], 1.0)
            && at_least(it, "teppan_follow_ups_claimable_age_seconds", &[], 0.01)
            && is(it, "teppan_follow_ups", &[("state", "due")], 0.0)
    }),
    ("the events are published", |it| {
        at_least(it, "teppan_outbox_deliveries_total", &[("outcome", "delivered")], 1.0)
            && is(it, "teppan_outbox_pending", &[("destination", "event-stream")], 0.0)
            && is(it, "teppan_outbox_dead_letters", &[], 0.0)
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_in_the_openmetrics_format_for_clients_that_accept_it_and_otherwise_in_the_text_format() {
    let journey = Journey::start().await;
    let http = journey.conversation.http;
    let text = Scrape::of(http, "*/*").await;
    assert_eq!((text.code, text.content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(!text.text.contains("# EOF") && text.types.contains_key("teppan_worker_runs_total"), "{}", text.text);
    let open = Scrape::of(http, OPEN_METRICS).await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((open.code, open.content_type.as_str()), (200, media_type));
    assert!(open.text.ends_with("# EOF\n") && open.types.contains_key("teppan_worker_runs"), "{}", open.text);
    journey.stop().await;
}
