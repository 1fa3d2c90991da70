//! Waits until the services have done everything that follows from the calls.

use std::time::{Duration, Instant};

use teppan_tests::harness;

use crate::{ledger::Ledger, world::World};

/// Longer than a relay's lease and its longest pause.
pub const BOUND: Duration = Duration::from_mins(3);
const INTERVAL: Duration = Duration::from_millis(200);

/// What is left to do in booking-service.
const BOOKING: [(&str, &str); 3] = [
    ("messages to deliver", "SELECT count(*) FROM outbox_messages WHERE dead_at IS NULL"),
    ("Stripe's events", "SELECT count(*) FROM stripe_events WHERE state = 'WAITING'"),
    ("freed seats to offer", "SELECT count(*) FROM waitlist_openings"),
];

/// What is left to do in conversation-service.
const CONVERSATION: [(&str, &str); 3] = [
    ("messages to deliver", "SELECT count(*) FROM outbox_messages WHERE dead_at IS NULL"),
    ("scores to count", "SELECT count(*) FROM emotion_pending"),
    ("follow-ups that are due", "SELECT count(*) FROM follow_ups WHERE finished_at IS NULL AND trigger = 'CUSTOM'"),
];

/// Waits until nothing is left to do. Whatever stays longer than this is a violation.
pub async fn wait_until_quiet(world: &World, ledger: &Ledger, bound: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let mut left = Vec::new();
        for (url, all) in [(&world.booking, &BOOKING[..]), (&world.conversation, &CONVERSATION[..])] {
            for (what, query) in all {
                let count: i64 = harness::scalar(url, query).await;
                if count > 0 {
                    left.push(format!("{count} {what}"));
                }
            }
        }
        if left.is_empty() {
            return began.elapsed();
        }
        if began.elapsed() > bound {
            let what = format!("left after {} s: {}", bound.as_secs(), left.join(", "));
            ledger.violation("everything that follows is done", "", what);
            return began.elapsed();
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
