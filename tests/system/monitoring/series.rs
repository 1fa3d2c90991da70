//! Every query of the dashboards, rules and alerts returns series from Prometheus, with both services under load.

use std::{collections::BTreeMap, time::Duration};

use teppan_tests::{
    harness::{self, within},
    launch::Shown,
    monitoring::{
        Guests, Pace, Prometheus, RuleKind, Stack,
        promql::{selectors, unfiltered},
    },
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{dashboards::Dashboard, is_set_up, secured::Secured};

/// Rates need two scrapes, and rules of rules several evaluations.
const PATIENCE: Duration = Duration::from_mins(1);

/// So few connections that calls wait for one, and so short a queue that some calls are refused.
const TIGHT: &[(&str, &str)] = &[("DATABASE_MAX_CONNECTIONS", "2"), ("MAX_WAITING", "2")];

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_a_panel_a_rule_and_an_alert_has_series() {
    if !is_set_up() {
        return;
    }
    let secured = Secured::start().await;
    let scraped = secured.scrape_configs();
    let stack = Stack::start(Pace::FAST, TIGHT, &scraped, Shown::Nothing).await.expect("the stack starts");
    let queries = queries(&stack.prometheus).await;
    let guests = Guests::of(&stack).await.expect("venues");
    // A counter that begins with its first event shows no increase, so everything happens twice.
    for _ in 0..2 {
        generate_load(&guests).await;
        secured.call_without_credentials_and_without_tls().await;
        outage(&stack, &guests).await;
    }
    let mut missing = queries;
    let all_have = async || {
        for (query, _) in missing.clone() {
            if has_series(&stack.prometheus, &query).await {
                missing.remove(&query);
            }
        }
        if missing.is_empty() {
            return true;
        }
        // Two guests of a rush meet at a slot only by chance, so the load repeats until every query has series.
        generate_load(&guests).await;
        false
    };
    let waited = tokio::time::timeout(PATIENCE, within(PATIENCE * 2, "queries have series", all_have)).await;
    assert!(waited.is_ok(), "without series:\n{}", list(&missing));
    stack.stop().await;
    secured.stop().await;
}

/// Every action of a guest, and every kind of failure.
async fn generate_load(guests: &Guests) {
    retried("a journey", || guests.journey()).await;
    retried("follow-ups are sent", || guests.send_follow_ups()).await;
    retried("a rush", || guests.rush()).await;
    retried("trouble", || guests.trouble()).await;
}

/// Runs a step, and repeats it after a refusal that allows a retry: with `TIGHT` a busy machine may refuse any call.
async fn retried(step: &str, take: impl AsyncFn() -> Result<(), Status>) {
    within(PATIENCE, step, async || match take().await {
        Ok(()) => true,
        Err(refused) if refused.get_details_retry_info().is_some() => false,
        Err(failed) => panic!("{step}: {failed:?}"),
    })
    .await;
}

/// Every expression, with the file and panel or rule that contains it.
async fn queries(prometheus: &Prometheus) -> BTreeMap<String, String> {
    let mut queries = BTreeMap::new();
    for dashboard in Dashboard::all() {
        for (panel, query) in dashboard.queries() {
            queries.extend(selectors(&query).into_iter().map(|selector| (selector, panel.to_owned())));
            queries.insert(query, format!("{}: {panel}", dashboard.file));
        }
    }
    for rule in prometheus.rules().await.expect("the rules are read") {
        queries.extend(selectors(&rule.query).into_iter().map(|selector| (selector, rule.name.clone())));
        // `absent()`, or a comparison that holds only for an unusable target, has no series while all is well. Its
        // selectors have.
        let is_negative = rule.query.contains("absent(") || rule.query.contains("unless");
        match rule.kind {
            RuleKind::Recording => queries.insert(rule.query, rule.name),
            RuleKind::Alerting if !is_negative => queries.insert(unfiltered(&rule.query), rule.name),
            RuleKind::Alerting => None,
        };
    }
    queries
}

async fn has_series(prometheus: &Prometheus, query: &str) -> bool {
    prometheus.count(query).await.unwrap_or_else(|error| panic!("{error}")) > 0
}

/// Stops the database until both services notice, and starts it again.
async fn outage(stack: &Stack, guests: &Guests) {
    stack.postgres.stop().await.expect("PostgreSQL stops");
    let unavailable = |job: &str| format!(r#"teppan_readiness{{job="{job}", state="database_unavailable"}} == 1"#);
    for job in ["booking-service", "conversation-service"] {
        let query = unavailable(job);
        within(PATIENCE, "the service notices", async || {
            // Only these calls make the service notice; they fail.
            let _ = guests.journey().await;
            has_series(&stack.prometheus, &query).await
        })
        .await;
    }
    stack.postgres.restart().await.expect("PostgreSQL starts");
    harness::eventually("the services are available again", async || guests.journey().await.is_ok()).await;
}

fn list(missing: &BTreeMap<String, String>) -> String {
    missing.iter().map(|(query, at)| format!("- {at}: {}", query.replace('\n', " "))).collect::<Vec<_>>().join("\n")
}
