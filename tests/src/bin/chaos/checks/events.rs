//! Events at NATS: each once, those of a booking in order, and none is missing.

use std::collections::{HashMap, HashSet};

use teppan_tests::nats_server::each_published;

use super::{Checked, Evidence, Findings, bookings::Stored};

pub async fn are_published_once_and_in_order(evidence: &Evidence<'_>, stored: &Stored) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "events are published once and in order");
    let Some(nats) = &evidence.world.nats else { return findings.done() };
    // Where each event of a booking belongs.
    let mut places: HashMap<&str, (&str, usize)> = HashMap::new();
    for (booking_id, events) in &stored.events {
        places.extend(events.iter().enumerate().map(|(n, event)| (event.event_id.as_str(), (booking_id.as_str(), n))));
    }
    let mut next: HashMap<&str, usize> = HashMap::new();
    let mut ids = HashSet::new();
    let mut completed: HashMap<String, usize> = HashMap::new();
    each_published(&nats.url(), |subject, id, event| {
        findings.check(ids.insert(id.to_owned()), "", || format!("{id} is in the stream twice"));
        if let Some(&(booking_id, n)) = places.get(id) {
            let expected = next.entry(booking_id).or_default();
            findings.check(*expected == n, booking_id, || {
                format!("event {} of {booking_id} was published where {} was due", n + 1, *expected + 1)
            });
            *expected = n + 1;
        }
        if subject == "teppan.follow_up.completed" {
            let follow_up_id = event["data"]["follow_up_id"].as_str().unwrap_or_default();
            *completed.entry(follow_up_id.to_owned()).or_default() += 1;
        }
    })
    .await;
    for (booking_id, events) in &stored.events {
        let published = next.get(booking_id.as_str()).copied().unwrap_or_default();
        findings.check(published == events.len(), booking_id, || {
            format!("{published} of {} events of {booking_id} were published", events.len())
        });
    }
    for (follow_up_id, count) in &completed {
        findings.check(*count == 1, follow_up_id, || format!("{follow_up_id} has {count} completed events"));
    }
    findings.done()
}
