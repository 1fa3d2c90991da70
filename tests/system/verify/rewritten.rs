//! An intruder who can write to the database, but does not have the keys of the service. Everything that the database
//! can compute fits again after each attack: chains, rows, seats and sums.

use teppan_shared::contract::booking::v1::Booking as Made;

use super::{checkpointed_venue, until_covered, verify};
use crate::{
    changes::{Change, VenueFixture},
    payments::cash,
};

/// Lets the chain of a booking and the seats of every slot fit again.
const MEND: &str = "
    UPDATE booking_events e SET previous_hash = before.hash FROM booking_events before
    WHERE (before.booking_id, before.version) = (e.booking_id, e.version - 1) AND e.version = 2;
    UPDATE booking_events e SET previous_hash = before.hash FROM booking_events before
    WHERE (before.booking_id, before.version) = (e.booking_id, e.version - 1) AND e.version = 3;
    UPDATE bookings b SET event_hash = e.hash FROM booking_events e
    WHERE (e.booking_id, e.version) = (b.booking_id, b.version);
    UPDATE slots s SET reserved = (
        SELECT COALESCE(sum(party_size), 0) FROM bookings b
        WHERE (b.venue_id, b.slot_date, b.start_time) = (s.venue_id, s.slot_date, s.start_time))";

/// A venue with a booking that was made, paid in cash and moved, and other bookings; checkpoints cover all events.
async fn venue_with_a_paid_booking() -> (VenueFixture, Made) {
    let fixture = checkpointed_venue().await;
    fixture.book(3).await;
    let made = fixture.book(2).await;
    until_covered(&fixture.service.url).await;
    let paid = fixture.service.clients.clone().payments.record_payment(cash(&made.booking_id, 1_000)).await;
    paid.expect("recorded");
    fixture.act(Change::Move("19:00"), &made.booking_id).await.expect("moved");
    fixture.book(4).await;
    until_covered(&fixture.service.url).await;
    verify(&fixture.service.url, &[]).await.assert_sound();
    (fixture, made)
}

/// Alters the amount of the payment in the second event, the payment, and the row.
fn alter_the_payment(booking_id: &str) -> String {
    format!(
        "UPDATE booking_events SET data = replace(data::text, '\"1000\"', '\"900\"')::json
         WHERE booking_id = '{booking_id}' AND version = 2;
         UPDATE payments SET amount_cents = 900 WHERE booking_id = '{booking_id}';
         UPDATE bookings SET paid_cents = 900 WHERE booking_id = '{booking_id}';
         {MEND}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_figure_was_changed_is_named_although_chain_row_and_payment_fit() {
    let (fixture, made) = venue_with_a_paid_booking().await;
    fixture.sql(alter_the_payment(&made.booking_id)).await;
    let report = verify(&fixture.service.url, &[]).await;
    let altered = vec![("EVENT_ALTERED", 2), ("EVENT_ALTERED", 3)];
    assert_eq!(report.named(&made.booking_id), altered, "{:?}", report.findings);
    assert_eq!((report.code, report.findings.len()), (Some(1), 2), "{}", report.summary);
    // Only the chosen booking is reported, also when only it is verified; and it is never repaired.
    let report = verify(&fixture.service.url, &["--booking", &made.booking_id]).await;
    assert_eq!(report.named(&made.booking_id), altered, "{:?}", report.findings);
    let report = verify(&fixture.service.url, &["--repair-projection"]).await;
    assert!(report.summary.contains("Not rebuilt: 1 bookings"), "{}", report.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_event_that_was_cut_off_is_named_although_the_row_was_set_back() {
    let (fixture, made) = venue_with_a_paid_booking().await;
    let id = &made.booking_id;
    fixture
        .sql(format!(
            "DELETE FROM outbox_messages;
             DELETE FROM booking_events WHERE booking_id = '{id}' AND version = 3;
             UPDATE bookings b
             SET version = 2, start_time = '18:00', starts_at = starts_at - interval '1 hour',
                 ends_at = ends_at - interval '1 hour', updated_at = e.occurred_at
             FROM booking_events e WHERE (e.booking_id, e.version) = (b.booking_id, 2);
             {MEND}"
        ))
        .await;
    let report = verify(&fixture.service.url, &[]).await;
    assert_eq!(report.only("EVENT_MISSING")["booking_id"], **id);
    assert_eq!(report.named(id), [("EVENT_MISSING", 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_booking_that_was_deleted_with_all_its_rows_is_named() {
    let (fixture, made) = venue_with_a_paid_booking().await;
    let id = &made.booking_id;
    fixture
        .sql(format!(
            "DELETE FROM outbox_messages;
             DELETE FROM payments WHERE booking_id = '{id}';
             DELETE FROM idempotency_keys WHERE resource_id = '{id}';
             DELETE FROM booking_events WHERE booking_id = '{id}';
             DELETE FROM bookings WHERE booking_id = '{id}';
             {MEND}"
        ))
        .await;
    let gone = [("EVENT_MISSING", 1), ("EVENT_MISSING", 2), ("EVENT_MISSING", 3)];
    let report = verify(&fixture.service.url, &[]).await;
    assert_eq!((report.named(id), report.findings.len()), (gone.to_vec(), 3), "{:?}", report.findings);
    // The booking is not unknown to the command.
    let report = verify(&fixture.service.url, &["--booking", id]).await;
    assert_eq!((report.code, report.named(id)), (Some(1), gone.to_vec()), "{}", report.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_that_were_deleted_changed_or_exchanged_are_named() {
    for (sql, fields) in [
        ("DELETE FROM payments WHERE booking_id = $booking", &["paid_cents", "payment_id"][..]),
        ("UPDATE payments SET amount_cents = 999 WHERE booking_id = $booking", &["paid_cents"]),
        ("UPDATE payments SET kind = 'REFUND' WHERE booking_id = $booking", &["paid_cents", "refunded_cents"]),
        ("UPDATE payments SET status = 'FAILED' WHERE booking_id = $booking", &["paid_cents"]),
        ("UPDATE payments SET payment_id = gen_random_uuid() WHERE booking_id = $booking", &["payment_id"]),
        ("UPDATE payments SET method = 'VOUCHER' WHERE booking_id = $booking", &["payment_id"]),
        ("UPDATE payments SET booking_id = (SELECT max(booking_id::text)::uuid FROM bookings)", &["paid_cents"]),
    ] {
        let (fixture, made) = venue_with_a_paid_booking().await;
        fixture.sql(sql.replace("$booking", &format!("'{}'", made.booking_id))).await;
        let report = verify(&fixture.service.url, &[]).await;
        assert_eq!((report.code, report.reasons()), (Some(1), vec!["PAYMENTS_DIFFER"]), "{sql}: {}", report.summary);
        assert!(report.findings.iter().any(|finding| finding["booking_id"] == *made.booking_id), "{sql}");
        let own = report.findings.iter().find(|finding| finding["booking_id"] == *made.booking_id).expect("found");
        let named: Vec<_> = own["fields"].as_array().expect("fields").iter().filter_map(|it| it.as_str()).collect();
        assert!(fields.iter().all(|field| named.contains(field)), "{sql}: {named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_were_removed_are_named() {
    let (fixture, _) = venue_with_a_paid_booking().await;
    fixture.sql("DELETE FROM event_checkpoints WHERE number = 1").await;
    let report = verify(&fixture.service.url, &[]).await;
    let missing = report.findings.iter().find(|finding| finding["reason"] == "CHECKPOINT_MISSING").expect("named");
    assert_eq!((&missing["checkpoints"]["first"], &missing["checkpoints"]["last"]), (&1.into(), &1.into()));
    // Its events are reported too: the worker has passed them, and no checkpoint covers them.
    assert_eq!(report.reasons(), ["CHECKPOINT_MISSING", "EVENT_NOT_ANCHORED"], "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_newest_checkpoint_that_was_removed_are_named() {
    let (fixture, _) = venue_with_a_paid_booking().await;
    fixture.sql("DELETE FROM event_checkpoints WHERE number = (SELECT max(number) FROM event_checkpoints)").await;
    let report = verify(&fixture.service.url, &[]).await;
    assert_eq!((report.code, report.reasons()), (Some(1), vec!["EVENT_NOT_ANCHORED"]), "{:?}", report.findings);
    // New checkpoints do not hide it.
    fixture.book(1).await;
    until_covered(&fixture.service.url).await;
    assert_eq!(verify(&fixture.service.url, &[]).await.reasons(), ["EVENT_NOT_ANCHORED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_was_replaced_together_with_its_checkpoint_is_named_by_the_signature() {
    let (fixture, made) = venue_with_a_paid_booking().await;
    let id = &made.booking_id;
    // Replaces the hashes in the entries, and everything else that can be computed without the key.
    let entry = |version: i64| {
        format!(
            "UPDATE event_checkpoints c
             SET entries = overlay(entries PLACING substring(e.hash FROM 1 FOR 16)
                                   FROM position(uuid_send(e.booking_id) || int8send({version}) IN entries) + 24)
             FROM booking_events e
             WHERE (e.booking_id, e.version) = ('{id}', {version})
               AND position(uuid_send(e.booking_id) || int8send({version}) IN entries) > 0"
        )
    };
    let digests = "
        DO $$
        DECLARE c record; before bytea := '';
        BEGIN
            FOR c IN SELECT * FROM event_checkpoints ORDER BY number LOOP
                UPDATE event_checkpoints
                SET digest = sha256(before || int8send(number) || int8send(event_count) || int8send(booking_count)
                                    || int8send((EXTRACT(epoch FROM created_at) * 1000000)::bigint) || entries)
                WHERE number = c.number RETURNING digest INTO before;
            END LOOP;
        END $$";
    let macs = "UPDATE event_checkpoints SET mac = sha256(digest)";
    fixture.sql(digests).await;
    verify(&fixture.service.url, &[]).await.assert_sound();
    fixture.sql(format!("{}; {}; {}; {digests}", alter_the_payment(id), entry(2), entry(3))).await;
    for after in ["SELECT", macs] {
        fixture.sql(after).await;
        let report = verify(&fixture.service.url, &[]).await;
        assert_eq!((report.code, report.reasons()), (Some(1), vec!["CHECKPOINT_FORGED"]), "{:?}", report.findings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_makes_one_finding_about_all_checkpoints() {
    let (fixture, _) = venue_with_a_paid_booking().await;
    let newest: i64 = fixture.service.scalar("SELECT max(number) FROM event_checkpoints").await;
    let key = format!("{}=", "E".repeat(43)); // base64 of 32 bytes
    let (code, out, summary) =
        super::run_with(&fixture.service.url, &[], [("ENCRYPTION_KEYS".to_owned(), format!("1:{key}"))]).await;
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.starts_with(&format!("CHECKPOINT_FORGED checkpoints=1-{newest}: ")), "{out}");
}
