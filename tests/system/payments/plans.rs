//! The cost of payments does not grow with their number.

use sqlx::{AssertSqlSafe, PgConnection};
use teppan_tests::harness;

use super::{StripeFixture, deposit};
use crate::statements::{
    apply_plan_settings, buffers,
    change::{self, Decided},
    plan, run,
};

const LIST: &str = include_str!("../../../booking-service/src/payments/list.sql");
const CLAIM: &str = include_str!("../../../booking-service/src/stripe/claim_events.sql");
const PURGE: &str = include_str!("../../../booking-service/src/stripe/purge_events.sql");
const BACKLOG: &str = include_str!("../../../booking-service/src/outbox/backlog.sql");
const PUT_BACK: &str = include_str!("../../../booking-service/src/stripe/put_back_events.sql");
const SETTLE: &str = include_str!("../../../booking-service/src/stripe/settle_event.sql");
const SETTLE_DEAD: &str = include_str!("../../../booking-service/src/stripe/settle_dead_letters.sql");
const LIST_DEAD: &str = include_str!("../../../shared/src/outbox/list_dead_letters.sql");

/// Prepares the statements; their plans must suit any parameters.
async fn prepare(connection: &mut PgConnection) {
    apply_plan_settings(connection).await;
    change::prepare(connection).await;
    run(connection, format!("PREPARE listed (uuid, text, text[], timestamptz, uuid, bigint, bigint) AS {LIST}")).await;
    run(connection, format!("PREPARE claimed (timestamptz, timestamptz) AS {CLAIM}")).await;
    run(connection, format!("PREPARE backlog (timestamptz, timestamptz) AS {BACKLOG}")).await;
    run(connection, format!("PREPARE purged (timestamptz) AS {PURGE}")).await;
    run(connection, format!("PREPARE settled (text, integer, text, text, timestamptz, timestamptz) AS {SETTLE}")).await;
    run(
        connection,
        format!("PREPARE settled_dead (boolean, timestamptz, uuid[], text, text, bigint) AS {SETTLE_DEAD}"),
    )
    .await;
    run(connection, format!("PREPARE listed_dead (timestamptz, uuid, text, text, text, bigint) AS {LIST_DEAD}")).await;
    run(connection, format!("PREPARE put_back (text[], timestamptz, timestamptz) AS {PUT_BACK}")).await;
}

/// The entries of a commit, built from the payment `pi_77`: the loaded revision and the new values.
async fn entries(connection: &mut PgConnection, entries: &[(&str, &str)]) -> String {
    let entries = entries.iter().map(|(revision, is_new)| {
        format!(
            "jsonb_build_object('booking_id', booking_id, 'revision', {revision}, 'payment', to_jsonb(p) || {is_new})"
        )
    });
    let entries = entries.collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT jsonb_build_array({entries})::text FROM payments p WHERE external_reference = 'pi_77'");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.expect("the entries")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_payments_uses_an_index() {
    let fixture = StripeFixture::with_seats(10_000).await;
    let made = fixture.pending_party_of_four().await;
    fixture.send_and_wait(&deposit(&made).succeeded()).await;
    let mut connection = harness::connect(&fixture.service.url).await;
    prepare(&mut connection).await;
    // A connection plans a statement once, perhaps while the tables are nearly empty.
    let listed = "listed (NULL, NULL, NULL, 'epoch', gen_random_uuid(), 5000, 51)";
    let backlog = "backlog (now(), now())";
    for call in [listed, "claimed (now(), now())", "put_back ('{}', now(), now())", backlog, "purged (now())"] {
        plan(&mut connection, call).await;
    }
    run(
        &mut connection,
        "INSERT INTO payments (payment_id, booking_id, kind, method, status, amount_cents, currency,
                               external_reference, occurred_at, created_at, updated_at)
         SELECT gen_random_uuid(), booking_id, 'CHARGE', 'STRIPE', 'FAILED', 1, 'EUR', 'pi_' || n, now(),
                now() + n * interval '1 ms', now()
         FROM bookings, generate_series(1, 60000) AS n;
         INSERT INTO stripe_events (event_id, type, created_at, received_at, effect, state, next_attempt_at, settled_at,
                                    dead_letter_id)
         SELECT 'evt_' || n, 'x', now(), now(), 'FAILED', CASE n % 4 WHEN 1 THEN 'DONE' WHEN 3 THEN 'SET_ASIDE' ELSE 'WAITING' END,
                now() + n * interval '1 second', CASE WHEN n % 2 = 1 THEN now() - n * interval '1 hour' END,
                CASE WHEN n % 4 = 3 THEN gen_random_uuid() END
         FROM generate_series(1, 60000) AS n",
    )
    .await;
    let first = "'epoch', '00000000-0000-0000-0000-000000000000', 5000, 51";
    for (filter, index) in
        [("NULL".to_owned(), "payments_created"), (format!("'{}'", made.booking_id), "payments_booking_created")]
    {
        let listed = plan(&mut connection, &format!("listed ({filter}, NULL, NULL, {first})")).await;
        assert!(listed.contains(&format!("Index Scan using {index} ")), "{listed}");
        assert!(!listed.contains("->  Sort") && !listed.contains("Seq Scan") && buffers(&listed) < 300, "{listed}");
    }
    let rare = plan(&mut connection, &format!("listed (NULL, 'REFUND', NULL, {first})")).await;
    assert!(rare.contains("rows=5000") && !rare.contains("rows=5001"), "{rare}");

    let claimed = plan(&mut connection, "claimed (now() + interval '1 hour', now() + interval '2 hours')").await;
    assert!(claimed.contains("using stripe_events_due") && claimed.contains("rows=32"), "{claimed}");
    assert!(!claimed.contains("Seq Scan") && buffers(&claimed) < 1000, "{claimed}");
    run(
        &mut connection,
        "UPDATE stripe_events SET attempts = 1, next_attempt_at = '2200-01-01Z', lease_expires_at = '2200-01-01Z'
         WHERE event_id IN (SELECT 'evt_' || 2 * n FROM generate_series(20001, 20032) AS n)",
    )
    .await;
    let ids = (20_001..=20_032).map(|n| format!("evt_{}", 2 * n)).collect::<Vec<_>>().join(",");
    let put_back = plan(&mut connection, &format!("put_back ('{{{ids}}}', now(), '2200-01-01Z')")).await;
    assert!(put_back.contains("rows=32") && !put_back.contains("Seq Scan") && buffers(&put_back) < 1000, "{put_back}");
    let purged = plan(&mut connection, "purged (now() - interval '90 days')").await;
    assert!(purged.contains("using stripe_events_done") && !purged.contains("Seq Scan"), "{purged}");
    let backlog = plan(&mut connection, backlog).await;
    for index in ["stripe_events_dead", "stripe_events_due"] {
        assert!(backlog.contains(&format!("using {index}")), "{index}: {backlog}");
    }
    // Holds are few, so the plan may read them by a bitmap scan and sort them.
    assert!(backlog.contains("bookings_hold") && !backlog.contains("Seq Scan"), "{backlog}");
    // There are 15,000 events that are set aside and 30,000 that wait: the statement reads up to its bound.
    assert!(backlog.contains("rows=10000") && !backlog.contains("rows=15000"), "{backlog}");
    let dead = "listed_dead ('epoch', '00000000-0000-0000-0000-000000000000', NULL, NULL, NULL, 51)";
    let dead = plan(&mut connection, dead).await;
    assert!(dead.contains(" stripe_events_dead ") && dead.contains(" outbox_messages_dead "), "{dead}");
    assert!(!dead.contains("Seq Scan") && buffers(&dead) < 2000, "{dead}");
    let one = "settled_dead (true, now(), ARRAY[gen_random_uuid()], NULL, NULL, 1000)";
    let one = plan(&mut connection, one).await;
    assert!(one.contains("using stripe_events_dead_letter") && buffers(&one) < 100, "{one}");
    let settled = plan(&mut connection, "settled ('evt_2', 0, 'DONE', '', NULL, now())").await;
    assert!(settled.contains("using stripe_events_pkey") && !settled.contains("Seq Scan"), "{settled}");

    let charge = "ARRAY[gen_random_uuid()], gen_random_uuid(), NULL, NULL, 'pi_77', 'ch_77', NULL";
    let loaded = plan(&mut connection, &format!("load ({charge})")).await;
    assert!(!loaded.contains("Seq Scan") && buffers(&loaded) < 100, "{loaded}");
    for index in ["payments_stripe_intent", "payments_stripe_charge", "payments_refund_of", "bookings_pkey"] {
        assert!(loaded.contains(index), "{index}: {loaded}");
    }

    // The charge succeeds and is refunded, and the booking's sums change.
    let charge = r#"{"status": "SUCCEEDED", "charge_id": "ch_77", "refunded_cents": 1, "facts": {}}"#;
    let refund = "jsonb_build_object('payment_id', gen_random_uuid(), 'kind', 'REFUND', 'status', 'SUCCEEDED',
                                     'refund_of', payment_id)";
    let payments = entries(&mut connection, &[("revision", &format!("'{charge}'")), ("NULL", refund)]).await;
    let bookings = format!("(SELECT * FROM bookings WHERE booking_id = '{}') AS b", made.booking_id);
    let moved =
        Decided { bookings: &bookings, becomes: Some(r#"{"refunded_cents": 1}"#), seats: "0", payments: &payments };
    let moved = moved.call(&mut connection).await;
    let moved = plan(&mut connection, &moved).await;
    // A second commit changes only the facts of the charge.
    let noted = entries(&mut connection, &[("revision", r#"'{"facts": {"refunded_in_all": 1}}'"#)]).await;
    let noted = Decided { bookings: &bookings, becomes: None, seats: "0", payments: &noted };
    let noted = noted.call(&mut connection).await;
    let noted = plan(&mut connection, &noted).await;
    for committed in [moved, noted] {
        assert!(!committed.contains("Seq Scan") && buffers(&committed) < 600, "{committed}");
        for index in ["payments_pkey", "bookings_pkey"] {
            assert!(committed.contains(index), "{index}: {committed}");
        }
    }
    let states = "SELECT string_agg(kind || ' ' || status, ', ' ORDER BY kind) FROM payments WHERE payment_id IN (
                    SELECT payment_id FROM payments WHERE charge_id = 'ch_77' AND revision = 3
                    UNION ALL SELECT r.payment_id FROM payments r WHERE r.refund_of IS NOT NULL)";
    assert_eq!(fixture.service.scalar::<String>(states).await, "CHARGE SUCCEEDED, REFUND SUCCEEDED");
}
