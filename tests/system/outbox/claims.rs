//! Leases of dead relays, and results that arrive too late.

use std::{collections::HashSet, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection};
use teppan_tests::harness::{self, Booking};

use super::{
    receiver::Receiver,
    stage::{all_delivered, append, book, quiet, replica, waiting},
};

const CLAIM: &str = include_str!("../../../shared/src/outbox/claim.sql");
const RECORD: &str = include_str!("../../../shared/src/outbox/record.sql");

/// The claim and record statements of a relay, without a service.
pub struct Relay(pub PgConnection);

impl Relay {
    /// A connection with the settings of the service's connections.
    pub async fn over(booking: &Booking) -> Self {
        let mut relay = Self(harness::connect(&booking.url).await);
        relay.run("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off").await;
        relay.run(format!("PREPARE claim (text, timestamptz, timestamptz, bigint, text) AS {CLAIM}")).await;
        let types = "text, timestamptz, text[], bigint[], bigint[], text[], text[], timestamptz[]";
        relay.run(format!("PREPARE record ({types}) AS {RECORD}")).await;
        relay
    }

    pub async fn run(&mut self, sql: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.0).await.expect("the SQL runs");
    }

    /// Claims up to `limit` messages, and returns their versions.
    pub async fn claim(&mut self, limit: u32, lease: Duration) -> Vec<i64> {
        let claim = format!(
            "EXECUTE claim ('conversation-service', now(), now() + interval '{} milliseconds', {limit}, NULL)",
            lease.as_millis()
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(claim)).fetch_all(&mut self.0).await.expect("claimed");
        rows.iter().filter_map(|row| sqlx::Row::get::<Option<i64>, _>(row, "version?")).collect()
    }

    /// Records an outcome for every message that has this claim number, and returns the number of changed messages.
    pub async fn record(&mut self, outcome: &str, claim: i64) -> i64 {
        let each = "SELECT array_agg(aggregate_id)::text, array_agg(version)::text, count(*) FROM outbox_messages";
        let (bookings, versions, count): (String, String, i64) =
            sqlx::query_as(each).fetch_one(&mut self.0).await.expect("messages");
        let array = |value: &str| format!("{{{}}}", vec![value; usize::try_from(count).expect("few")].join(","));
        let record = format!(
            "EXECUTE record ('conversation-service', now(), '{bookings}', '{versions}', '{}', '{}', '{}', '{}')",
            array(&claim.to_string()),
            array(outcome),
            array("X"),
            array("2100-01-01"),
        );
        let row = sqlx::raw_sql(AssertSqlSafe(record)).fetch_one(&mut self.0).await.expect("recorded");
        (0..3).map(|column| sqlx::Row::get::<i64, _>(&row, column)).sum()
    }
}

const LONG: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_dead_relay_are_delivered_when_its_lease_ends() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    book(&service, &venue, 10).await;
    let mut dead = Relay::over(&service).await;
    assert_eq!(dead.claim(64, Duration::from_millis(1500)).await.len(), 10);
    let replica = replica(&service, listening.address, |_| {}).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(receiver.calls().is_empty(), "the messages are leased");
    all_delivered(&service).await;
    let keys: HashSet<_> = receiver.calls().into_iter().map(|call| call.key).collect();
    assert_eq!((keys.len(), receiver.calls().len()), (10, 10));
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_result_changes_nothing_after_the_message_was_claimed_again() {
    let (service, venue) = quiet().await;
    book(&service, &venue, 3).await;
    let (mut late, mut second) = (Relay::over(&service).await, Relay::over(&service).await);
    assert_eq!(late.claim(64, Duration::ZERO).await.len(), 3);
    assert_eq!(second.claim(64, LONG).await.len(), 3, "the leases ended at once");
    for outcome in ["DELIVERED", "FAILED", "UNAVAILABLE", "DEAD"] {
        assert_eq!(late.record(outcome, 1).await, 0, "{outcome}");
    }
    assert_eq!(second.record("UNAVAILABLE", 2).await, 3);
    assert_eq!(second.record("DELIVERED", 2).await, 0, "a result counts once");
    let left = "SELECT string_agg(DISTINCT concat(attempts, ' ', claims), ',') FROM outbox_messages";
    assert_eq!(service.scalar::<String>(left).await, "1 2", "the first attempt counts, the second does not");
    // A claim number is never used twice, although the attempts were reset.
    harness::execute(&service.url, "UPDATE outbox_messages SET next_attempt_at = now()").await;
    assert_eq!(second.claim(64, LONG).await.len(), 3);
    assert_eq!(late.record("DELIVERED", 2).await, 0);
    assert_eq!(late.record("DELIVERED", 3).await, 3);
    assert_eq!(waiting(&service).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_message_of_a_booking_can_be_claimed() {
    let (service, venue) = quiet().await;
    let made = book(&service, &venue, 1).await.remove(0);
    for _ in 0..3 {
        append(&service, &made.booking_id, "rescheduled", "conversation-service").await;
    }
    let (mut first, mut second) = (Relay::over(&service).await, Relay::over(&service).await);
    for version in 1..=4 {
        // The earlier message is deleted, so the next one is due at once although it was postponed.
        assert_eq!(first.claim(64, LONG).await, [version]);
        assert_eq!(second.claim(64, LONG).await, [0_i64; 0]);
        let put_off =
            "SELECT count(*) FROM outbox_messages WHERE lease_expires_at IS NULL AND next_attempt_at <= now()";
        assert_eq!(service.scalar::<i64>(put_off).await, 0, "later messages are postponed");
        assert_eq!(first.record("DELIVERED", 1).await, 1);
    }
    assert_eq!(waiting(&service).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_claim_takes_the_messages_that_have_been_due_longest() {
    let (service, venue) = quiet().await;
    let made = book(&service, &venue, 20).await;
    let oldest = &made[11].booking_id;
    let earlier = format!(
        "UPDATE outbox_messages SET next_attempt_at = now() - interval '1 hour' WHERE aggregate_id = '{oldest}'"
    );
    harness::execute(&service.url, AssertSqlSafe(earlier)).await;
    let mut relay = Relay::over(&service).await;
    assert_eq!(relay.claim(1, LONG).await.len(), 1);
    let claimed = "SELECT aggregate_id FROM outbox_messages WHERE lease_expires_at IS NOT NULL";
    assert_eq!(service.scalar::<String>(claimed).await, *oldest);
}
