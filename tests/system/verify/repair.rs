use teppan_shared::contract::booking::v1::{Area, Floor, SetFloorRequest, SittingRule};
use teppan_tests::fixtures;

use super::{bookings_in_every_state, verify};
use crate::changes::{Change, VenueFixture};

/// All columns of the rows, without transaction ids.
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
async fn rows_and_seats_are_repaired_only_with_the_option_swap() {
    let fixture = bookings_in_every_state().await;
    let (url, service) = (&fixture.service.url, &fixture.service);
    let sound = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    fixture.sql(TAMPER).await;
    let tampered = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    assert_ne!(tampered.0, sound.0);

    let report = verify(url, &["--repair-projection"]).await;
    assert_eq!((report.code, report.reasons()), (Some(1), vec!["ROW_DIFFERS", "SLOT_MISCOUNTS"]), "{}", report.summary);
    assert!(
        report.summary.contains("Rebuilt 13 rows") && report.summary.contains("paid_cents 2"),
        "{}",
        report.summary
    );
    let untouched = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    assert_eq!(untouched, tampered, "without --swap nothing is changed");
    let rebuilt = "SELECT count(*) FROM bookings_rebuilt WHERE details_sealed IS NULL AND source = 'test'";
    assert_eq!(
        service.scalar::<i64>(rebuilt).await,
        13,
        "the rebuilt rows contain no personal data that is erased later"
    );

    // A table that an earlier run left, of any shape, is dropped and created again.
    fixture.sql("DROP TABLE bookings_rebuilt; CREATE TABLE bookings_rebuilt (left_over int)").await;
    let report = verify(url, &["--repair-projection", "--swap"]).await;
    assert_eq!(report.code, Some(0), "{:?} {}", report.findings, report.summary);
    assert!(report.summary.contains("Repaired: "), "{}", report.summary);
    let repaired = (service.scalar::<String>(ROWS).await, service.scalar::<String>(SEATS).await);
    assert_eq!(repaired, sound);
    verify(url, &["--repair-projection", "--swap"]).await.assert_sound();
    let left = "SELECT count(*) FROM pg_class WHERE relname = 'bookings_rebuilt'";
    assert_eq!(service.scalar::<i64>(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_with_a_broken_event_chain_is_reported_and_never_repaired() {
    let fixture = VenueFixture::without_deposit(20).await;
    let (broken, headless, other) = (fixture.book(2).await, fixture.book(3).await, fixture.book(4).await);
    fixture.act(Change::Move("19:00"), &broken.booking_id).await.expect("moved");
    let [broken, headless, other] = [broken, headless, other].map(|made| made.booking_id);
    fixture
        .sql(format!(
            "UPDATE booking_events SET data = replace(data::text, '{{', '{{ ')::json WHERE booking_id = '{broken}' AND version = 1;
             UPDATE bookings SET paid_cents = 1 WHERE booking_id IN ('{broken}', '{headless}', '{other}');
             UPDATE bookings SET event_hash = sha256('') WHERE booking_id = '{headless}';
             UPDATE slots SET reserved = reserved + 1 WHERE reserved > 0"
        ))
        .await;
    let report = verify(&fixture.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!(report.code, Some(1), "{}", report.summary);
    assert!(report.summary.contains("Not rebuilt: 2 bookings"), "{}", report.summary);
    assert!(report.summary.contains("the events of one of its bookings cannot be trusted"), "{}", report.summary);
    assert!(report.summary.contains("Repaired: 1 rows of bookings, 0 slots, 0 floors."), "{}", report.summary);
    let altered = format!("SELECT count(*) FROM bookings WHERE paid_cents = 1 AND booking_id <> '{other}'");
    let altered: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(altered))
        .fetch_one(&mut teppan_tests::harness::connect(&fixture.service.url).await)
        .await
        .expect("a count");
    assert_eq!(altered, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_seats_of_an_area_that_no_booking_takes_are_found_and_freed() {
    let mut fixture = VenueFixture::without_deposit(10).await;
    let sittings = vec![SittingRule { minutes: 120, ..Default::default() }];
    let areas = vec![Area { area: "main".to_owned(), seats: Some(20), ..Default::default() }];
    let floor = Floor { venue_id: fixture.venue_id.clone(), areas, sittings, ..Default::default() };
    let request = SetFloorRequest { floor: Some(floor), validate_only: false };
    fixture.service.clients.schedule.set_floor(request).await.expect("a floor");
    fixture.book(4).await;
    verify(&fixture.service.url, &[]).await.assert_sound();
    fixture.sql("UPDATE area_days SET taken[5] = 3").await;
    let report = verify(&fixture.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!((report.code, report.reasons()), (Some(0), vec!["AREA_MISCOUNTS"]), "{}", report.summary);
    assert_eq!(report.findings[0]["area"]["area"], "main");
    assert!(report.summary.contains("1 floors"), "{}", report.summary);
    verify(&fixture.service.url, &[]).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_never_repaired_beyond_the_capacity_of_the_slot() {
    let fixture = VenueFixture::without_deposit(10).await;
    fixture.book(8).await;
    fixture.sql("UPDATE slots SET reserved = 5, capacity = 6 WHERE reserved = 8").await;
    let report = verify(&fixture.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!((report.code, report.reasons()), (Some(1), vec!["SLOT_MISCOUNTS"]), "{}", report.summary);
    assert!(report.summary.contains("take more seats than its capacity"), "{}", report.summary);
    assert_eq!(fixture.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_changes_before_the_swap_is_not_swapped() {
    const SWAP: &str = include_str!("../../../booking-service/src/verification/swap_booking.sql");
    let fixture = VenueFixture::without_deposit(20).await;
    let made = fixture.book(2).await;
    fixture.sql("UPDATE bookings SET paid_cents = 100").await;
    assert_eq!(verify(&fixture.service.url, &["--repair-projection"]).await.code, Some(1));
    fixture.act(Change::Move("19:00"), &made.booking_id).await.expect("moved");
    let mut connection = teppan_tests::harness::connect(&fixture.service.url).await;
    let id = uuid::Uuid::parse_str(&made.booking_id).expect("a UUID");
    let swapped = sqlx::query(SWAP).bind(id).fetch_all(&mut connection).await.expect("the process runs");
    assert!(swapped.is_empty(), "the rebuilt row is older than the booking");
    assert_eq!(fixture.service.scalar::<i64>("SELECT version FROM bookings").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_one_venue_frees_no_seats_of_a_booking_whose_row_names_another() {
    let mut fixture = VenueFixture::without_deposit(20).await;
    let made = fixture.book(4).await;
    let other = fixtures::venue(&mut fixture.service.clients, 20).await.expect("a venue").venue_id;
    fixture.sql(format!("UPDATE bookings SET venue_id = '{other}' WHERE booking_id = '{}'", made.booking_id)).await;
    let report = verify(&fixture.service.url, &["--venue", &fixture.venue_id, "--repair-projection", "--swap"]).await;
    assert_eq!((report.code, report.reasons()), (Some(1), vec!["SLOT_MISCOUNTS"]), "{}", report.summary);
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 4, "the seats stay sold");
    let report = verify(&fixture.service.url, &["--repair-projection", "--swap"]).await;
    assert_eq!((report.code, report.reasons()), (Some(0), vec!["ROW_DIFFERS"]), "{}", report.summary);
    verify(&fixture.service.url, &[]).await.assert_sound();
    fixture.assert_consistent().await;
}
