use super::{Said, full_house, run, verify};
use crate::changes::{Change, House};

/// A firm booking that was moved, so that it has two events, and another one.
async fn tampered(sql: &str) -> (House, Said) {
    let house = House::firm(20).await;
    let made = house.book(2).await;
    house.act(Change::Move("19:00"), &made.booking_id).await.expect("moved");
    house.book(4).await;
    house.sql(sql.replace("$booking", &format!("'{}'", made.booking_id))).await;
    let said = verify(&house.service.url, &[]).await;
    assert_eq!(said.code, Some(1), "{sql}: {}", said.summary);
    (house, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_alter_events_is_found_and_named() {
    // PostgreSQL computes the hash anew, and the next event does not carry it.
    let altered =
        "UPDATE booking_events SET data = replace(data::text, '\"party_size\" : 2', '\"party_size\" : 3')::json
                   WHERE booking_id = $booking AND version = 1";
    let (_, said) = tampered(altered).await;
    assert!(said.reasons().contains(&"LINK_BROKEN"), "{:?}", said.findings);

    // Nor is it seen by a hash that was put there by hand.
    let forged = "ALTER TABLE booking_events ALTER COLUMN hash DROP EXPRESSION;
                  UPDATE booking_events SET data = replace(data::text, '{', '{ ')::json
                  WHERE booking_id = $booking AND version = 2";
    let (_, said) = tampered(forged).await;
    assert_eq!(said.reasons(), ["HASH_MISMATCH"], "{:?}", said.findings);

    let last = "UPDATE booking_events SET occurred_at = occurred_at + interval '1 second'
                WHERE booking_id = $booking AND version = 2";
    let (_, said) = tampered(last).await;
    assert_eq!(said.reasons(), ["CHAIN_END", "EVENT_CONTRADICTION", "ROW_DIFFERS"], "{:?}", said.findings);
    assert_eq!(said.fields("EVENT_CONTRADICTION"), ["occurred_at"]);

    let dropped = "DELETE FROM outbox_messages; DELETE FROM booking_events WHERE booking_id = $booking AND version = 1";
    let (_, said) = tampered(dropped).await;
    assert!(said.reasons().contains(&"VERSION_GAP") && said.reasons().contains(&"ILLEGAL_TRANSITION"));

    let cut = "DELETE FROM outbox_messages; DELETE FROM booking_events WHERE booking_id = $booking AND version = 2";
    let (_, said) = tampered(cut).await;
    assert!(said.reasons().starts_with(&["CHAIN_END", "ROW_DIFFERS"]), "{:?}", said.findings);

    let emptied = "DELETE FROM outbox_messages; DELETE FROM booking_events WHERE booking_id = $booking";
    let (_, said) = tampered(emptied).await;
    assert!(said.reasons().contains(&"NO_EVENTS"), "{:?}", said.findings);

    let put_in = "INSERT INTO booking_events (event_id, booking_id, version, type, occurred_at, data, previous_hash)
                  SELECT gen_random_uuid(), booking_id, 3, 'teppan.booking.completed.v1', now(), data, sha256('')
                  FROM booking_events WHERE booking_id = $booking AND version = 2";
    let (_, said) = tampered(put_in).await;
    assert!(said.reasons().contains(&"LINK_BROKEN") && said.reasons().contains(&"CHAIN_END"), "{:?}", said.findings);
    assert!(said.reasons().contains(&"EVENT_CONTRADICTION"), "{:?}", said.findings);

    let nonsense = "UPDATE booking_events SET data = '{\"status\": 7}' WHERE booking_id = $booking AND version = 2";
    let (_, said) = tampered(nonsense).await;
    assert!(said.reasons().contains(&"EVENT_UNREADABLE"), "{:?}", said.findings);
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
        let (_, said) = tampered(&format!("UPDATE bookings SET {set} WHERE booking_id = $booking")).await;
        assert_eq!((said.reasons(), said.fields("ROW_DIFFERS")), (vec!["ROW_DIFFERS"], fields.to_vec()), "{set}");
    }
    let (_, said) = tampered("UPDATE bookings SET event_hash = sha256('x') WHERE booking_id = $booking").await;
    assert_eq!(said.reasons(), ["CHAIN_END"]);
    // A booking that sits elsewhere by its row is counted where its events put it.
    let (_, said) = tampered("UPDATE bookings SET start_time = '18:30' WHERE booking_id = $booking").await;
    assert_eq!((said.reasons(), said.fields("ROW_DIFFERS")), (vec!["ROW_DIFFERS"], vec!["start_time"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_too_many_or_too_few_is_found() {
    let (_, said) = tampered("UPDATE slots SET reserved = reserved - 1 WHERE reserved = 4").await;
    assert_eq!(said.reasons(), ["SLOT_MISCOUNTS"]);
    let slot = &said.findings[0]["slot"];
    assert_eq!((&slot["reserved"], &slot["booked"], &slot["start_time"]), (&3.into(), &4.into(), &"18:00".into()));
    let empty = "UPDATE slots SET reserved = 1 WHERE (slot_date, start_time) = (SELECT min(slot_date), '18:30'::time FROM slots)";
    let (_, said) = tampered(empty).await;
    assert_eq!(said.reasons(), ["SLOT_MISCOUNTS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_lines_without_personal_data() {
    let house = full_house().await;
    house.sql("UPDATE bookings SET paid_cents = paid_cents + 1, conversation_id = 'mina@example.org'").await;
    let (code, found, summary) = run(&house.service.url, &[]).await;
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(found.lines().count(), 13, "{found}");
    assert!(found.lines().all(|line| line.starts_with("ROW_DIFFERS booking=")), "{found}");
    assert!(!found.contains("mina") && !summary.contains("mina"), "{found}{summary}");
    assert!(summary.contains("13 findings"), "{summary}");
}
