//! Every query that somebody or something asks of Prometheus, against both services under load.

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

/// So few connections that calls wait for one, and so few waiting calls that some are refused.
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
    // A counter that begins with its first event shows no increase: what happens must happen twice.
    for _ in 0..2 {
        an_evening(&guests).await;
        secured.strangers_call().await;
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
        // Whether two guests of a rush meet at a slot is chance: there is another rush until they have.
        an_evening(&guests).await;
        false
    };
    let waited = tokio::time::timeout(PATIENCE, within(PATIENCE * 2, "queries have series", all_have)).await;
    assert!(waited.is_ok(), "without series:\n{}", list(&missing));
    stack.stop().await;
    secured.stop().await;
}

/// All that guests do, and what goes wrong.
async fn an_evening(guests: &Guests) {
    done("a journey", || guests.journey()).await;
    done("follow-ups are sent", || guests.send_follow_ups()).await;
    done("a rush", || guests.rush()).await;
    done("trouble", || guests.trouble()).await;
}

/// Takes a step, and takes it again after a refusal that asks for it: `TIGHT` makes a busy machine refuse any call.
async fn done(step: &str, take: impl AsyncFn() -> Result<(), Status>) {
    within(PATIENCE, step, async || match take().await {
        Ok(()) => true,
        Err(refused) if refused.get_details_retry_info().is_some() => false,
        Err(failed) => panic!("{step}: {failed:?}"),
    })
    .await;
}

/// Every expression, with where it stands.
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
        // What is absent, or a target that is unusable, has no series when all is well: its selectors have.
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

/// The database is stopped until both services notice, and comes back.
async fn outage(stack: &Stack, guests: &Guests) {
    stack.postgres.stop().await.expect("PostgreSQL stops");
    let unavailable = |job: &str| format!(r#"teppan_readiness{{job="{job}", state="database_unavailable"}} == 1"#);
    for job in ["booking-service", "conversation-service"] {
        let query = unavailable(job);
        within(PATIENCE, "the service notices", async || {
            // Calls fail meanwhile.
            let _ = guests.journey().await;
            has_series(&stack.prometheus, &query).await
        })
        .await;
    }
    stack.postgres.restart().await.expect("PostgreSQL starts");
    harness::eventually("the services come back", async || guests.journey().await.is_ok()).await;
}

fn list(missing: &BTreeMap<String, String>) -> String {
    missing.iter().map(|(query, at)| format!("- {at}: {}", query.replace('\n', " "))).collect::<Vec<_>>().join("\n")
}
