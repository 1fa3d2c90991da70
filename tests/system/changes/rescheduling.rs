use teppan_shared::contract::booking::v1::{
    Booking as Made, BookingStatus, RescheduleBookingRequest, WaitlistEntryStatus,
};
use teppan_tests::fixtures;
use tonic::{Code, Status};

use super::{Change, VenueFixture, refusal};
use crate::{payments, waitlist};

async fn reschedule(fixture: &VenueFixture, request: RescheduleBookingRequest) -> Result<Made, Status> {
    let moved = fixture.service.clients.clone().bookings.reschedule_booking(request).await?;
    Ok(moved.into_inner().booking.expect("the booking"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rescheduling_moves_the_seats_updates_the_price_and_keeps_the_hold() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.sql("UPDATE slots SET price_per_person_cents = 4001 WHERE start_time = '19:00'").await;
    let moved = fixture.act(Change::Move("19:00"), &made.booking_id).await.expect("moved");
    assert_eq!((moved.date.as_str(), moved.start_time.as_str(), moved.party_size), (&*made.date, "19:00", 4));
    assert_eq!((moved.price_per_person_cents, moved.total_cents, moved.deposit_cents), (4001, 16004, 4001));
    assert_eq!(moved.hold_expires_at, made.hold_expires_at);
    assert!(moved.starts_at.expect("a start").seconds == made.starts_at.expect("a start").seconds + 3600);

    let tomorrow = fixtures::date().succ_opt().expect("a date").to_string();
    let request = RescheduleBookingRequest {
        booking_id: made.booking_id.clone(),
        date: tomorrow.clone(),
        start_time: "18:30".to_owned(),
        party_size: Some(2),
        expected_total_cents: Some(7000),
        ..Default::default()
    };
    let moved = reschedule(&fixture, request.clone()).await.expect("moved");
    assert_eq!((moved.date, moved.start_time, moved.party_size), (tomorrow, "18:30".to_owned(), 2));
    assert_eq!((moved.total_cents, moved.deposit_cents, moved.version), (7000, 1750, 3));
    assert_eq!(reschedule(&fixture, request).await.expect("no change is needed").version, 3);
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 2);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_grows_in_its_slot_keeps_the_seats_it_has() {
    let fixture = VenueFixture::without_deposit(10).await;
    let (made, _other) = (fixture.book(4).await, fixture.book(3).await);
    let grown = fixture.act(Change::Resize(7), &made.booking_id).await.expect("three more seats are open");
    assert_eq!((grown.party_size, grown.total_cents), (7, 24_500));
    let before = fixture.service.written().await;
    let refused = fixture.act(Change::Resize(8), &made.booking_id).await.expect_err("full");
    assert_eq!(refusal(&refused, "open_seats"), ("SLOT_FULL".to_owned(), "7".to_owned()));
    assert_eq!(fixture.service.written().await, before);
    let shrunk = fixture.act(Change::Resize(1), &made.booking_id).await.expect("fewer");
    assert_eq!(shrunk.total_cents, 3500);
    assert_eq!(fixture.service.scalar::<i32>("SELECT max(reserved) FROM slots").await, 4);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_guests_are_accepted_inside_the_notice_in_a_closed_slot_and_beyond_the_horizon() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(4).await;
    fixture
        .sql("UPDATE venues SET notice_minutes = 43200, horizon_days = 1, max_party_size = 2, min_party_size = 2")
        .await;
    for state in ["CLOSED", "UNSCHEDULED"] {
        fixture.sql(format!("UPDATE slots SET state = '{state}', price_per_person_cents = 9900")).await;
        let party_size = if state == "CLOSED" { 3 } else { 2 };
        let shrunk = fixture.act(Change::Resize(party_size), &made.booking_id).await.expect("fewer guests");
        assert_eq!((shrunk.party_size, shrunk.price_per_person_cents), (party_size, 3500), "{state}");
        assert_eq!(shrunk.total_cents, 3500 * i64::from(party_size));
        let again = fixture.act(Change::Resize(party_size), &made.booking_id).await.expect("the target state");
        assert_eq!(again.version, shrunk.version);
    }
    let before = fixture.service.written().await;
    let refused = fixture.act(Change::Resize(3), &made.booking_id).await.expect_err("more guests");
    assert_eq!(refusal(&refused, "").0, "PARTY_TOO_LARGE");
    let refused = fixture.act(Change::Resize(1), &made.booking_id).await.expect_err("too few");
    assert_eq!(refusal(&refused, "").0, "PARTY_TOO_SMALL");
    let refused = fixture.act(Change::Move("19:00"), &made.booking_id).await.expect_err("another slot");
    assert_eq!(refusal(&refused, "").0, "TOO_FAR_AHEAD");
    assert_eq!(fixture.service.written().await, before);
    assert_eq!(fixture.service.scalar::<i64>("SELECT sum(reserved) FROM slots").await, 2);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescheduling_is_refused_for_the_same_reasons_as_a_new_booking() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(4).await;
    fixture
        .sql(
            "UPDATE venues SET min_party_size = 2, max_party_size = 8;
             UPDATE slots SET reserved = 7 WHERE start_time = '18:30';
             UPDATE slots SET state = 'CLOSED' WHERE start_time = '19:00'",
        )
        .await;
    let before = fixture.service.written().await;
    let unchanged = || RescheduleBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let at = |time: &str| RescheduleBookingRequest { start_time: time.to_owned(), ..unchanged() };
    let on = |date: String| RescheduleBookingRequest { date, ..unchanged() };
    let parties = |party_size| RescheduleBookingRequest { party_size: Some(party_size), ..unchanged() };
    let today = chrono::Utc::now().date_naive();
    for (request, code, reason, name, figure) in [
        (at("18:30"), Code::FailedPrecondition, "SLOT_FULL", "open_seats", "3"),
        (at("19:00"), Code::FailedPrecondition, "SLOT_CLOSED", "", ""),
        (at("20:00"), Code::NotFound, "SLOT_NOT_FOUND", "", ""),
        (
            on((today + chrono::Days::new(200)).to_string()),
            Code::FailedPrecondition,
            "TOO_FAR_AHEAD",
            "horizon_days",
            "90",
        ),
        (parties(1), Code::FailedPrecondition, "PARTY_TOO_SMALL", "min_party_size", "2"),
        (parties(9), Code::FailedPrecondition, "PARTY_TOO_LARGE", "max_party_size", "8"),
        (
            RescheduleBookingRequest { expected_total_cents: Some(1), ..parties(5) },
            Code::FailedPrecondition,
            "PRICE_CHANGED",
            "total_cents",
            "17500",
        ),
        // The booking would not change, but the expected price is not its price.
        (
            RescheduleBookingRequest { expected_total_cents: Some(1), ..unchanged() },
            Code::FailedPrecondition,
            "PRICE_CHANGED",
            "total_cents",
            "14000",
        ),
    ] {
        let refused = reschedule(&fixture, request).await.expect_err(reason);
        assert_eq!(refused.code(), code, "{reason}");
        assert_eq!(refusal(&refused, name), (reason.to_owned(), figure.to_owned()));
        assert_eq!(fixture.service.written().await, before, "{reason}");
    }
    let soon = "UPDATE slots SET starts_at = now() + interval '1 hour', ends_at = now() + interval '2 hours'
                WHERE start_time = '18:30'";
    fixture.sql(soon).await;
    let refused = reschedule(&fixture, at("18:30")).await.expect_err("too soon");
    assert_eq!(refusal(&refused, "notice_minutes"), ("INSUFFICIENT_NOTICE".to_owned(), "240".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_above_the_new_price_is_due_as_a_refund() {
    let fixture = VenueFixture::without_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.sql("UPDATE bookings SET paid_cents = 14000").await;
    let smaller = fixture.act(Change::Resize(3), &made.booking_id).await.expect("resized");
    assert_eq!((smaller.total_cents, smaller.paid_cents, smaller.refund_due_cents), (10_500, 14_000, 3500));
    let larger = fixture.act(Change::Resize(5), &made.booking_id).await.expect("resized");
    assert_eq!((larger.total_cents, larger.refund_due_cents), (17_500, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_whose_payments_cover_its_new_deposit_is_confirmed() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.sql("UPDATE bookings SET paid_cents = 2000, conversation_id = 'chat'").await;
    let smaller = fixture.act(Change::Resize(3), &made.booking_id).await.expect("resized");
    assert_eq!((smaller.status(), smaller.deposit_cents, smaller.version), (BookingStatus::Pending, 2625, 2));
    let firm = fixture.act(Change::Resize(2), &made.booking_id).await.expect("resized");
    assert_eq!((firm.status(), firm.deposit_cents, firm.version), (BookingStatus::Confirmed, 1750, 4));
    assert!(firm.hold_expires_at.is_none() && firm.confirmed_at.is_some());
    let events = "SELECT string_agg(version || ' ' || type, ', ' ORDER BY stream_position, version) FROM booking_events
                WHERE version > 2";
    let expected = "3 teppan.booking.rescheduled.v1, 4 teppan.booking.confirmed.v1";
    assert_eq!(fixture.service.scalar::<String>(events).await, expected);
    let messages = "SELECT string_agg(version::text, ',' ORDER BY version) FROM outbox_messages
                 WHERE destination = 'conversation-service'";
    assert_eq!(fixture.service.scalar::<String>(messages).await, "4");
    fixture.assert_consistent().await;

    // A booking whose new deposit is zero is confirmed too.
    let other = fixture.book(1).await;
    fixture.sql("UPDATE bookings SET terms = terms || '{\"deposit_percent\": 0}'").await;
    let free = fixture.act(Change::Resize(2), &other.booking_id).await.expect("resized");
    assert_eq!((free.status(), free.deposit_cents), (BookingStatus::Confirmed, 0));
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rescheduled_waitlist_offer_is_confirmed_only_if_something_was_paid() {
    for paid in [0, 500] {
        let fixture = VenueFixture::with_deposit(2).await;
        let clients = &fixture.service.clients;
        let made = fixture.book(2).await;
        let entry = waitlist::join_by(clients, waitlist::request(&fixture.venue_id, 2)).await.expect("joined");
        fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
        let entry = waitlist::becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
        if paid > 0 {
            let payment = payments::cash(&entry.booking_id, paid);
            clients.payments.clone().record_payment(payment).await.expect("recorded");
        }
        fixture.sql("UPDATE bookings SET terms = terms || '{\"deposit_percent\": 0}'").await;
        let moved = fixture.act(Change::Move("18:30"), &entry.booking_id).await.expect("moved");
        assert_eq!(moved.deposit_cents, 0);
        if paid == 0 {
            assert_eq!((moved.status(), moved.hold_expires_at), (BookingStatus::Pending, entry.offer_expires_at));
            let taken = fixture.act(Change::Confirm, &entry.booking_id).await.expect("taken");
            assert_eq!(taken.status(), BookingStatus::Confirmed);
        } else {
            assert_eq!((moved.status(), moved.hold_expires_at), (BookingStatus::Confirmed, None));
        }
        waitlist::becomes(&fixture, &entry, WaitlistEntryStatus::Accepted).await;
        fixture.assert_consistent().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hold_of_a_rescheduled_booking_ends_at_its_start_at_the_latest() {
    let fixture = VenueFixture::with_deposit(10).await;
    let made = fixture.book(4).await;
    fixture.sql("UPDATE bookings SET hold_expires_at = starts_at").await;
    fixture.sql("UPDATE slots SET starts_at = starts_at - interval '1 day' WHERE start_time = '18:30'").await;
    let moved = fixture.act(Change::Move("18:30"), &made.booking_id).await.expect("moved");
    assert_eq!(moved.hold_expires_at, moved.starts_at);
    fixture.expire_hold(&made.booking_id).await;
    let refused = fixture.act(Change::Move("19:00"), &made.booking_id).await.expect_err("too late");
    assert_eq!(refusal(&refused, "status"), ("HOLD_EXPIRED".to_owned(), "BOOKING_STATUS_PENDING".to_owned()));
}
