use teppan_tests::fixtures;

use super::{full_house, verify};
use crate::changes::{Change, House};

/// The rows as they are, without what is not part of them.
const ROWS: &str = "SELECT string_agg(b::text, ' ' ORDER BY booking_id) FROM bookings b";
const SEATS: &str =
    "SELECT string_agg(s::text, ' ' ORDER BY venue_id, slot_date, start_time) FROM slots s WHERE reserved > 0";
const TAMPER: &str = "
    UPDATE bookings SET paid_cents = 700 WHERE status = 'CANCELLED';
    UPDATE bookings SET status = 'CONFIRMED', confirmed_at = now() WHERE status = 'EXPIRED';
    UPDATE bookings SET party_size = 9, total_cents = 9 * price_per_person_cents, start_time = '18:30'
    WHERE status = 'PENDING';
    UPDATE slots SET reserved = reserved + 1 WHERE reserved > 0";

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_seats_are_repaired_and_only_when_that_is_asked_for() {
    let house = full_house().await;
    let (url, service) = (&house.service.url, &house.service);
    let sound = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    house.sql(TAMPER).await;
    let tampered = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    assert_ne!(tampered.0, sound.0);

    let said = verify(url, &["--repair-projection"]).await;
    assert_eq!((said.code, said.reasons()), (Some(1), vec!["ROW_DIFFERS", "SLOT_MISCOUNTS"]), "{}", said.summary);
    assert!(said.summary.contains("Rebuilt 13 rows") && said.summary.contains("paid_cents 2"), "{}", said.summary);
    let untouched = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    assert_eq!(untouched, tampered, "nothing in force is touched");
    let rebuilt = "SELECT count(*) FROM bookings_rebuilt WHERE special_requests_sealed IS NULL AND source = 'test'";
    assert_eq!(service.scalar::<i64>(rebuilt).await, 13, "what is erased later must not be left there");

    // What an earlier run left, of whatever shape, is made anew.
    house.sql("DROP TABLE bookings_rebuilt; CREATE TABLE bookings_rebuilt (left_over int)").await;
    let said = verify(url, &["--repair-projection", "--swap"]).await;
    assert_eq!(said.code, Some(0), "{:?} {}", said.findings, said.summary);
    assert!(said.summary.contains("Repaired: "), "{}", said.summary);
    let repaired = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    assert_eq!(repaired, sound);
    verify(url, &["--repair-projection", "--swap"]).await.assert_sound();
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'bookings_rebuilt'";
    assert_eq!(service.scalar::<i64>(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_whose_chain_is_broken_is_told_and_never_repaired() {
    let house = House::firm(20).await;
    let (broken, headless, other) = (house.book(2).await, house.book(3).await, house.book(4).await);
    house.act(Change::Move("19:00"), &broken.booking_id).await.expect("moved");
    let [broken, headless, other] = [broken, headless, other].map(|made| made.booking_id);
    house
        .sql(format!(
            "UPDATE booking_events SET data = replace(data::text, '{{', '{{ ')::json WHERE booking_id = '{broken}' AND version = 1;
             UPDATE bookings SET paid_cents = 1 WHERE booking_id IN ('{broken}', '{headless}', '{other}');
             UPDATE bookings SET event_hash = sha256('') WHERE booking_id = '{headless}';
             UPDATE slots SET reserved = reserved + 1 WHERE reserved > 0"
        ))
        .await;
    let said = verify(&house.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!(said.code, Some(1), "{}", said.summary);
    assert!(said.summary.contains("Not rebuilt: 2 bookings"), "{}", said.summary);
    assert!(said.summary.contains("a booking there cannot be derived"), "{}", said.summary);
    assert!(said.summary.contains("Repaired: 1 rows of bookings, 0 slots."), "{}", said.summary);
    let altered = format!("SELECT count(*) FROM bookings WHERE paid_cents = 1 AND booking_id <> '{other}'");
    let altered: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(altered))
        .fetch_one(&mut teppan_tests::harness::connect(&house.service.url).await)
        .await
        .expect("a count");
    assert_eq!(altered, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_never_repaired_beyond_what_there_is_room_for() {
    let house = House::firm(10).await;
    house.book(8).await;
    house.sql("UPDATE slots SET reserved = 5, capacity = 6 WHERE reserved = 8").await;
    let said = verify(&house.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!((said.code, said.reasons()), (Some(1), vec!["SLOT_MISCOUNTS"]), "{}", said.summary);
    assert!(said.summary.contains("take more seats than there are"), "{}", said.summary);
    assert_eq!(house.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_changes_before_the_swap_is_left_out() {
    const SWAP: &str = include_str!("../../../booking-service/src/verification/swap_booking.sql");
    let house = House::firm(20).await;
    let made = house.book(2).await;
    house.sql("UPDATE bookings SET paid_cents = 100").await;
    assert_eq!(verify(&house.service.url, &["--repair-projection"]).await.code, Some(1));
    house.act(Change::Move("19:00"), &made.booking_id).await.expect("moved");
    let mut connection = teppan_tests::harness::connect(&house.service.url).await;
    let id = uuid::Uuid::parse_str(&made.booking_id).expect("a UUID");
    let swapped = sqlx::query(SWAP).bind(id).fetch_all(&mut connection).await.expect("it runs");
    assert!(swapped.is_empty(), "the rebuilt row is older than the booking");
    assert_eq!(house.service.scalar::<i64>("SELECT version FROM bookings").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_one_venue_frees_no_seats_of_a_booking_whose_row_names_another() {
    let mut house = House::firm(20).await;
    let made = house.book(4).await;
    let other = fixtures::venue(&mut house.service.clients, 20).await.expect("a venue").venue_id;
    house.sql(format!("UPDATE bookings SET venue_id = '{other}' WHERE booking_id = '{}'", made.booking_id)).await;
    let said = verify(&house.service.url, &["--venue", &house.venue_id, "--repair-projection", "--swap"]).await;
    assert_eq!((said.code, said.reasons()), (Some(1), vec!["SLOT_MISCOUNTS"]), "{}", said.summary);
    assert_eq!(house.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 4, "they are sold");
    let said = verify(&house.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!((said.code, said.reasons()), (Some(0), vec!["ROW_DIFFERS"]), "{}", said.summary);
    verify(&house.service.url, &[]).await.assert_sound();
    house.assert_sound().await;
}
