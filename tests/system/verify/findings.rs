use super::{Report, bookings_in_every_state, run, verify};
use crate::changes::{Change, VenueFixture};

/// Runs the SQL after a confirmed booking was rescheduled, so that it has two events, and another one was made.
async fn tampered(sql: &str) -> (VenueFixture, Report) {
    let fixture = VenueFixture::without_deposit(20).await;
    let made = fixture.book(2).await;
    fixture.act(Change::Move("19:00"), &made.booking_id).await.expect("moved");
    fixture.book(4).await;
    fixture.sql(sql.replace("$booking", &format!("'{}'", made.booking_id))).await;
    let report = verify(&fixture.service.url, &[]).await;
    assert_eq!(report.code, Some(1), "{sql}: {}", report.summary);
    (fixture, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_alter_events_is_found_and_named() {
    // PostgreSQL recomputes the hash, so the next event's previous hash does not match.
    let altered =
        "UPDATE booking_events SET data = replace(data::text, '\"party_size\" : 2', '\"party_size\" : 3')::json
                   WHERE booking_id = $booking AND version = 1";
    let (_, report) = tampered(altered).await;
    assert!(report.reasons().contains(&"LINK_BROKEN"), "{:?}", report.findings);

    // A hash that was written by hand does not hide the change.
    let forged = "ALTER TABLE booking_events ALTER COLUMN hash DROP EXPRESSION;
                  UPDATE booking_events SET data = replace(data::text, '{', '{ ')::json
                  WHERE booking_id = $booking AND version = 2";
    let (_, report) = tampered(forged).await;
    assert_eq!(report.reasons(), ["HASH_MISMATCH"], "{:?}", report.findings);

    let last = "UPDATE booking_events SET occurred_at = occurred_at + interval '1 second'
                WHERE booking_id = $booking AND version = 2";
    let (_, report) = tampered(last).await;
    assert_eq!(report.reasons(), ["CHAIN_END", "EVENT_CONTRADICTION", "ROW_DIFFERS"], "{:?}", report.findings);
    assert_eq!(report.fields("EVENT_CONTRADICTION"), ["occurred_at"]);

    let dropped = "DELETE FROM outbox_messages; DELETE FROM booking_events WHERE booking_id = $booking AND version = 1";
    let (_, report) = tampered(dropped).await;
    assert!(report.reasons().contains(&"VERSION_GAP") && report.reasons().contains(&"ILLEGAL_TRANSITION"));

    let cut = "DELETE FROM outbox_messages; DELETE FROM booking_events WHERE booking_id = $booking AND version = 2";
    let (_, report) = tampered(cut).await;
    assert!(report.reasons().starts_with(&["CHAIN_END", "ROW_DIFFERS"]), "{:?}", report.findings);

    let emptied = "DELETE FROM outbox_messages; DELETE FROM booking_events WHERE booking_id = $booking";
    let (_, report) = tampered(emptied).await;
    assert!(report.reasons().contains(&"NO_EVENTS"), "{:?}", report.findings);

    let put_in = "INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
                  SELECT gen_random_uuid(), booking_id, 3, 'teppan.booking.completed.v1', now(), data, sha256('')
                  FROM booking_events WHERE booking_id = $booking AND version = 2";
    let (_, report) = tampered(put_in).await;
    assert!(
        report.reasons().contains(&"LINK_BROKEN") && report.reasons().contains(&"CHAIN_END"),
        "{:?}",
        report.findings
    );
    assert!(report.reasons().contains(&"EVENT_CONTRADICTION"), "{:?}", report.findings);

    let nonsense = "UPDATE booking_events SET data = '{\"status\": 7}' WHERE booking_id = $booking AND version = 2";
    let (_, report) = tampered(nonsense).await;
    assert!(report.reasons().contains(&"EVENT_UNREADABLE"), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_alter_rows_is_found_and_named() {
    for (set, fields) in [
        ("paid_cents = 500, refund_due_cents = 100", &["paid_cents", "refund_due_cents"][..]),
        ("price_per_person_cents = 1, total_cents = 2, deposit_cents = 0", &["price_per_person_cents", "total_cents"]),
        ("version = 7", &["version"]),
        ("created_at = created_at - interval '1 microsecond'", &["created_at"]),
        ("conversation_id = 'chat-of-somebody'", &["conversation_id"]),
        ("confirmation_code = 'AAAAAAAA'", &["confirmation_code"]),
        ("status = 'COMPLETED'", &["status"]),
        (
            "customer_id = (SELECT customer_id FROM customers c WHERE c.customer_id <> bookings.customer_id)",
            &["customer_id"],
        ),
    ] {
        let (_, report) = tampered(&format!("UPDATE bookings SET {set} WHERE booking_id = $booking")).await;
        assert_eq!((report.reasons(), report.fields("ROW_DIFFERS")), (vec!["ROW_DIFFERS"], fields.to_vec()), "{set}");
    }
    let (_, report) = tampered("UPDATE bookings SET event_hash = sha256('x') WHERE booking_id = $booking").await;
    assert_eq!(report.reasons(), ["CHAIN_END"]);
    // A booking whose row names another slot is counted in the slot that its events name.
    let (_, report) = tampered("UPDATE bookings SET start_time = '18:30' WHERE booking_id = $booking").await;
    assert_eq!((report.reasons(), report.fields("ROW_DIFFERS")), (vec!["ROW_DIFFERS"], vec!["start_time"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_counts_too_many_or_too_few_seats_is_found() {
    let (_, report) = tampered("UPDATE slots SET reserved = reserved - 1 WHERE reserved = 4").await;
    assert_eq!(report.reasons(), ["SLOT_MISCOUNTS"]);
    let slot = &report.findings[0]["slot"];
    assert_eq!((&slot["reserved"], &slot["booked"], &slot["start_time"]), (&3.into(), &4.into(), &"18:00".into()));
    let empty = "UPDATE slots SET reserved = 1 WHERE (slot_date, start_time) = (SELECT min(slot_date), '18:30'::time FROM slots)";
    let (_, report) = tampered(empty).await;
    assert_eq!(report.reasons(), ["SLOT_MISCOUNTS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_lines_without_personal_data() {
    let fixture = bookings_in_every_state().await;
    fixture.sql("UPDATE bookings SET paid_cents = paid_cents + 1, conversation_id = 'mina@example.org'").await;
    let (code, found, summary) = run(&fixture.service.url, &[]).await;
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(found.lines().count(), 13, "{found}");
    assert!(found.lines().all(|line| line.starts_with("ROW_DIFFERS booking=")), "{found}");
    assert!(!found.contains("mina") && !summary.contains("mina"), "{found}{summary}");
    assert!(summary.contains("13 findings"), "{summary}");
}
