use futures::future::join_all;
use teppan_shared::contract::booking::v1::{JoinWaitlistRequest, WaitlistEntryStatus};
use teppan_tests::{fixtures::SlotUpdate, harness::Booking};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{assert_sound, join, join_by, leave, now, replica, request};
use crate::changes::{Change, VenueFixture, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn customers_wait_for_a_full_slot_in_the_order_of_joining() {
    let fixture = VenueFixture::with_deposit(4).await;
    fixture.book(4).await;
    let request = request(&fixture.venue_id, 3);
    let joined = fixture.service.clients.clone().bookings.join_waitlist(request.clone()).await.expect("joined");
    let joined = joined.into_inner();
    let entry = joined.entry.expect("the entry");
    assert!(!joined.replayed);
    assert_eq!((entry.status(), entry.position, entry.party_size), (WaitlistEntryStatus::Waiting, 1, 3));
    assert_eq!((&entry.date, entry.start_time.as_str()), (&request.date, "18:00"));
    assert_eq!((entry.time_zone.as_str(), &entry.conversation_id), ("Europe/Berlin", &request.conversation_id));
    assert!(entry.starts_at.is_some() && entry.created_at.is_some() && entry.updated_at == entry.created_at);
    assert!(entry.booking_id.is_empty() && entry.offer_expires_at.is_none());
    assert_eq!(join(&fixture, 1).await.position, 2);
    assert_eq!(join(&fixture, 1).await.position, 3);

    // A repeated call returns the entry in its current state.
    let again = fixture.service.clients.clone().bookings.join_waitlist(request.clone()).await.expect("replayed");
    let again = again.into_inner();
    assert!(again.replayed);
    assert_eq!(again.entry, Some(entry.clone()));
    leave(&fixture.service.clients, &entry).await.expect("left");
    let again = join_by(&fixture.service.clients, request.clone()).await.expect("replayed");
    assert_eq!((again.status(), again.position), (WaitlistEntryStatus::Left, 0));
    let other = JoinWaitlistRequest { party_size: 2, ..request };
    let refused = join_by(&fixture.service.clients, other).await.expect_err("another request");
    assert_eq!((refused.code(), refusal(&refused, "").0.as_str()), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
    // The customer's special requests are stored encrypted only.
    let clear = "SELECT count(*) FROM waitlist_entries w JOIN customers c USING (customer_id)
                 WHERE w::text || c::text ~* 'mina|window|example'";
    assert_eq!(fixture.service.scalar::<i64>(clear).await, 0);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_make_one_entry_and_a_customer_waits_once_for_a_slot() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    for round in 0..10 {
        let request = request(&fixture.venue_id, 1);
        let duplicates = (0..6).map(|_| join_by(&fixture.service.clients, request.clone()));
        let entries = join_all(duplicates).await.into_iter().collect::<Result<Vec<_>, _>>().expect("joined");
        assert!(entries.iter().all(|entry| *entry == entries[0]), "round {round}");
        assert_eq!(entries[0].position, round + 1);
    }
    // Of concurrent calls for one customer with different keys one succeeds, and the others report ALREADY_WAITING.
    let first = request(&fixture.venue_id, 1);
    let calls = (0..6).map(|_| {
        let request = JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), ..first.clone() };
        join_by(&fixture.service.clients, request)
    });
    let answers = join_all(calls).await;
    let (waiting, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(waiting.len(), 1);
    let waiting = waiting.into_iter().flatten().next().expect("one call succeeds");
    for refused in refused.into_iter().filter_map(Result::err) {
        assert_eq!(
            refusal(&refused, "waitlist_entry_id"),
            ("ALREADY_WAITING".to_owned(), waiting.waitlist_entry_id.clone())
        );
        assert_eq!(refusal(&refused, "status").1, "WAITLIST_ENTRY_STATUS_WAITING");
        assert!(refused.get_details_precondition_failure().is_some());
    }
    let keys = "SELECT count(*) FROM idempotency_keys WHERE method = 'JoinWaitlist'";
    assert_eq!(fixture.service.scalar::<i64>(keys).await, 11, "a refusal keeps no key");
    // The customer may also wait for another slot, and may wait for this slot again after leaving.
    assert_eq!(now(&fixture, &waiting).await.position, 11);
    leave(&fixture.service.clients, &waiting).await.expect("left");
    let again = JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), ..first };
    let again = join_by(&fixture.service.clients, again).await.expect("joined again");
    assert_eq!(again.customer_id, waiting.customer_id);
    assert_ne!(again.waitlist_entry_id, waiting.waitlist_entry_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_at_two_replicas_make_one_entry() {
    let fixture = VenueFixture::with_deposit(2).await;
    fixture.book(2).await;
    let other = replica(&fixture).await;
    for round in 0..5 {
        let request = request(&fixture.venue_id, 1);
        let duplicates = (0..8).map(|n| {
            let clients = if n % 2 == 0 { &fixture.service.clients } else { &other.clients };
            join_by(clients, request.clone())
        });
        let entries = join_all(duplicates).await.into_iter().collect::<Result<Vec<_>, _>>().expect("joined");
        assert!(entries.iter().all(|entry| *entry == entries[0]), "round {round}");
        assert_eq!(entries[0].position, round + 1);
    }
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries").await, 5);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_customer_can_join_the_waitlist_of_a_slot_that_has_seats_or_can_never_be_booked() {
    let fixture = VenueFixture::over(Booking::start().await.ready().await, 4, 25).await;
    let clients = &fixture.service.clients;
    let before = fixture.service.written().await;
    let refused = join_by(clients, request(&fixture.venue_id, 4)).await.expect_err("seats are open");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refusal(&refused, "open_seats"), ("SLOT_AVAILABLE".to_owned(), "4".to_owned()));
    assert!(refused.get_details_precondition_failure().is_some());
    assert_eq!(fixture.service.written().await, before, "nothing was written");

    let made = fixture.book(3).await;
    let venue = |change: fn(&mut JoinWaitlistRequest)| {
        let mut request = request(&fixture.venue_id, 2);
        change(&mut request);
        request
    };
    let cases = [
        (venue(|it| it.venue_id = Uuid::nil().to_string()), "VENUE_NOT_FOUND"),
        (venue(|it| it.start_time = "03:00".to_owned()), "SLOT_NOT_FOUND"),
        (venue(|it| it.date = "2035-01-01".to_owned()), "TOO_FAR_AHEAD"),
        (venue(|it| it.date = tomorrow().to_string()), "INSUFFICIENT_NOTICE"),
    ];
    fixture.sql("UPDATE slots SET starts_at = now(), ends_at = now() + interval '1 hour' WHERE slot_date <= current_date + 1")
        .await;
    for (request, reason) in cases {
        assert_eq!(refusal(&join_by(clients, request).await.expect_err(reason), "").0, reason);
    }
    fixture.sql("UPDATE venues SET min_party_size = 2, max_party_size = 10").await;
    for (party_size, reason, figure) in
        [(1, "PARTY_TOO_SMALL", "min_party_size"), (11, "PARTY_TOO_LARGE", "max_party_size")]
    {
        let refused = join_by(clients, request(&fixture.venue_id, party_size)).await.expect_err(reason);
        let (reported, figure) = refusal(&refused, figure);
        assert_eq!((reported.as_str(), figure.is_empty()), (reason, false));
    }
    let close = SlotUpdate { closed: Some(true), ..SlotUpdate::of(&fixture.venue_id) };
    clients.schedule.clone().update_slot(close).await.expect("closed");
    let refused = join_by(clients, request(&fixture.venue_id, 2)).await.expect_err("closed");
    assert_eq!(refusal(&refused, "").0, "SLOT_CLOSED");
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries").await, 0);
    fixture.act(Change::Cancel, &made.booking_id).await.expect("cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_violations_of_join_waitlist_are_reported_at_once() {
    let booking = Booking::start().await.ready().await;
    let refused =
        join_by(&booking.clients, JoinWaitlistRequest { conversation_id: "ä".to_owned(), ..Default::default() });
    let violations = refused.await.expect_err("empty").get_details_bad_request().expect("a BadRequest");
    let fields: Vec<_> = violations.field_violations.iter().map(|it| it.field.as_str()).collect();
    let expected = [
        "idempotency_key",
        "venue_id",
        "date",
        "start_time",
        "party_size",
        "contact.name",
        "contact.email",
        "conversation_id",
    ];
    assert_eq!(fields, expected);
}

/// A date that is laid out at any hour of the day, in UTC and in Berlin.
fn tomorrow() -> chrono::NaiveDate {
    chrono::Utc::now().date_naive() + chrono::Days::new(1)
}
