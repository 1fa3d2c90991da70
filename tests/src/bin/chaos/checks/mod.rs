//! What must hold after the faults. Each check compares what was acknowledged with what is stored and published.

mod bookings;
mod conversations;
mod events;
mod follow_ups;
mod invariants;
mod money;
mod order;
mod quiet;

use secrecy::SecretString;
use serde::Serialize;
use sqlx::{FromRow, postgres::PgRow};
use teppan_tests::{harness, model};

pub use self::quiet::{BOUND, wait_until_quiet};
use crate::{
    clients::{Caller, stripe::Stripe},
    ledger::{Entry, Ledger},
    world::{World, venues::Venues},
};

/// Violations of one promise that are kept: one fault can break thousands.
const SHOWN_MAX: usize = 5;

/// How much a check looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    pub check: &'static str,
    pub looked_at: usize,
    pub violations: usize,
}

/// What the checks look at.
pub struct Evidence<'a> {
    pub world: &'a World,
    pub ledger: &'a Ledger,
    pub entries: &'a [Entry],
    pub venues: &'a Venues,
    pub stripe: &'a Stripe,
    /// A client that reads.
    pub reader: &'a Caller,
}

/// Collects the violations of one check.
pub struct Findings<'a> {
    ledger: &'a Ledger,
    check: &'static str,
    looked_at: usize,
    violations: usize,
}

impl<'a> Findings<'a> {
    fn of(ledger: &'a Ledger, check: &'static str) -> Self {
        Self { ledger, check, looked_at: 0, violations: 0 }
    }

    /// Counts something that was compared, and records a violation unless it is right.
    fn check(&mut self, is_right: bool, subject: &str, what: impl FnOnce() -> String) {
        self.looked_at += 1;
        if is_right {
            return;
        }
        self.violations += 1;
        if self.violations <= SHOWN_MAX {
            self.ledger.violation(self.check, subject, what());
        }
    }

    fn done(self) -> Checked {
        if self.violations > SHOWN_MAX {
            let more = format!("{} more", self.violations - SHOWN_MAX);
            self.ledger.violation(self.check, "", more);
        }
        Checked { check: self.check, looked_at: self.looked_at, violations: self.violations }
    }
}

/// Makes every check.
pub async fn run(evidence: &Evidence<'_>) -> Vec<Checked> {
    let stored = bookings::Stored::read(&evidence.world.booking).await;
    let mut checked = vec![
        bookings::nothing_acknowledged_is_lost(evidence, &stored),
        bookings::a_key_has_one_booking(evidence, &stored),
        bookings::answers_are_states_that_were(evidence, &stored),
        order::of_bookings(evidence),
        order::no_seat_is_sold_twice(evidence),
        bookings::the_api_agrees(evidence, &stored).await,
        bookings::no_table_is_sold_twice(evidence).await,
        bookings::entries_of_the_waitlist(evidence).await,
        money::adds_up_with_stripe(evidence, &stored),
        follow_ups::of_bookings(evidence, &stored).await,
        follow_ups::are_sent_once(evidence).await,
    ];
    checked.extend(conversations::messages(evidence).await);
    checked.push(invariants::hold(evidence).await);
    checked.push(events::are_published_once_and_in_order(evidence, &stored).await);
    checked.push(audit(evidence).await);
    checked
}

/// The service's own audit: chains, checkpoints, and every booking derived from its events.
async fn audit(evidence: &Evidence<'_>) -> Checked {
    let mut findings = Findings::of(evidence.ledger, "verify-events finds nothing");
    let audited = model::audit(&evidence.world.booking).await;
    findings.check(audited.is_ok(), "", || audited.err().unwrap_or_default());
    findings.done()
}

/// The rows of a query, read directly from a database.
async fn rows<T>(url: &SecretString, query: &'static str) -> Vec<T>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(query).fetch_all(&mut harness::connect(url).await).await.expect("the query answers")
}
