use std::time::Duration;

use booking_service::settings::OutboxSettings;
use futures::future::join_all;
use prost_types::FieldMask;
use sqlx::Connection as _;
use teppan_shared::{
    contract::booking::v1::{
        Booking as Made, BookingStatus, CreateVenueRequest, DeleteSpecialDaysRequest, GetBookingRequest,
        SetSpecialDaysRequest, SpecialDays, UpdateVenueRequest, WaitlistEntryStatus,
    },
    keys::Keys,
    outbox::RelaySettings,
};
use teppan_tests::{
    fixtures::{self, SlotUpdate},
    harness::{self, Booking},
    proxy::Proxy,
};
use uuid::Uuid;

use super::with_lost_answer;
use crate::{
    changes::{Change, VenueFixture, act},
    outbox::receiver::{Listening, Receiver},
    payments, waitlist,
};

/// The first words of the statement that commits every change.
const COMMIT: &str = "-- Commits decisions about bookings";

/// A service that reaches its database through a proxy. Its workers run only when a call nudges them. The fixture's own
/// URL does not use the proxy.
struct ProxiedVenue {
    proxy: Proxy,
    fixture: VenueFixture,
    receiver: Receiver,
    _listening: Listening,
}

async fn proxied_venue(deposit_percent: i32) -> ProxiedVenue {
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let keys = Keys::random();
    let through = harness::through(&url, proxy.address);
    let mut settings = harness::booking_settings(harness::settings(through, &keys));
    settings.outbox = OutboxSettings {
        conversation_service_url: format!("http://{}", listening.address).parse().expect("a URL"),
        relay: RelaySettings { interval: Duration::from_hours(1), relays: 1, ..RelaySettings::default() },
        ..OutboxSettings::default()
    };
    let service = Booking::configured(settings, url, keys).await.ready().await;
    ProxiedVenue {
        proxy,
        fixture: VenueFixture::over(service, 500, deposit_percent).await,
        receiver,
        _listening: listening,
    }
}

async fn until_delivered(receiver: &Receiver, count: usize) {
    harness::eventually("the follow-up's change is delivered", async || receiver.calls().len() >= count).await;
    assert_eq!(receiver.calls().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_whose_commit_answer_is_lost_is_made_and_delivered_once() {
    let ProxiedVenue { proxy, fixture, receiver, .. } = &proxied_venue(0).await;
    let mut bookings = fixture.service.clients.bookings.clone();
    for count in 1..=3 {
        let request = fixtures::booking(&fixture.venue_id, 2);
        let call = bookings.create_booking(request.clone());
        let first = with_lost_answer(proxy, "-- CreateBooking:", call).await.into_inner();
        assert!(!first.replayed);
        until_delivered(receiver, count).await;
        let again = bookings.create_booking(request).await.expect("replayed").into_inner();
        assert_eq!((again.replayed, again.booking), (true, first.booking));
    }
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM bookings").await, 3);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_made_once_even_if_its_statement_is_repeated_while_the_first_run_continues() {
    let ProxiedVenue { proxy, fixture, .. } = &proxied_venue(0).await;
    for _ in 0..5 {
        let mut other = harness::connect(&fixture.service.url).await;
        let mut lock = other.begin().await.expect("a transaction");
        sqlx::query("SELECT FROM slots WHERE start_time = '18:00' FOR UPDATE")
            .execute(&mut *lock)
            .await
            .expect("locked");
        let mut bookings = fixture.service.clients.bookings.clone();
        let request = fixtures::booking(&fixture.venue_id, 1);
        let runs = proxy.ran("-- CreateBooking:");
        let repeated = async {
            harness::eventually("the statement is run", async || proxy.ran("-- CreateBooking:") > runs).await;
            proxy.close_connections();
            harness::eventually("the statement is run again", async || proxy.ran("-- CreateBooking:") > runs + 1).await;
            lock.commit().await.expect("the slot is free");
        };
        let (made, ()) = tokio::join!(bookings.create_booking(request.clone()), repeated);
        let made = made.expect("booked").into_inner();
        assert!(!made.replayed);
        let again = bookings.create_booking(request).await.expect("replayed").into_inner();
        assert_eq!((again.replayed, again.booking), (true, made.booking));
    }
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM bookings").await, 5);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_run_again_until_its_connection_was_opened_since_the_others_were_closed() {
    let ProxiedVenue { proxy, fixture, .. } = &proxied_venue(0).await;
    // Only one connection is left.
    proxy.close_connections();
    let kept = fixture.book(1).await;
    let mut other = harness::connect(&fixture.service.url).await;
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM slots WHERE start_time = '18:00' FOR UPDATE").execute(&mut *lock).await.expect("locked");
    let mut bookings = fixture.service.clients.bookings.clone();
    let runs = proxy.ran("-- CreateBooking:");
    let repeated = async {
        harness::eventually("the statement is run", async || proxy.ran("-- CreateBooking:") > runs).await;
        // A connection that is younger than the statement, idle, and then closed too.
        let opened = proxy.opened();
        let clients = &fixture.service.clients;
        let get = GetBookingRequest { booking_id: kept.booking_id.clone(), ..Default::default() };
        let read = async |_| clients.bookings.clone().get_booking(get.clone()).await.expect("read");
        harness::eventually("a connection is opened", async || {
            join_all((0..8).map(read)).await;
            proxy.opened() > opened
        })
        .await;
        proxy.close_connections();
        harness::eventually("the statement waits again", async || proxy.ran("-- CreateBooking:") > runs + 1).await;
        lock.commit().await.expect("the slot is free");
    };
    let (made, ()) = tokio::join!(bookings.create_booking(fixtures::booking(&fixture.venue_id, 1)), repeated);
    assert!(!made.expect("booked").into_inner().replayed);
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_commit_answer_is_lost_is_made_and_delivered_once() {
    let ProxiedVenue { proxy, fixture, receiver, .. } = &proxied_venue(25).await;
    let clients = &fixture.service.clients;
    let change = async |made: &Made, change: Change, statement| -> Made {
        let changed = with_lost_answer(proxy, statement, act(clients, change, &made.booking_id, &made.etag)).await;
        assert_eq!(changed.version, made.version + 1, "{change:?}");
        changed
    };
    let (kept, missed) = (fixture.book(2).await, fixture.book(1).await);
    let kept = change(&kept, Change::Confirm, COMMIT).await;
    until_delivered(receiver, 1).await;
    let kept = change(&kept, Change::Move("18:30"), COMMIT).await;
    until_delivered(receiver, 2).await;
    let kept = change(&kept, Change::Resize(3), COMMIT).await;
    until_delivered(receiver, 3).await;
    let cancelled = change(&kept, Change::Cancel, COMMIT).await;
    assert_eq!(cancelled.status(), BookingStatus::Cancelled);
    until_delivered(receiver, 4).await;
    let missed = change(&missed, Change::Confirm, COMMIT).await;
    until_delivered(receiver, 5).await;
    fixture.mark_started(&missed.booking_id).await;
    let missed = change(&missed, Change::NoShow, COMMIT).await;
    assert_eq!(missed.status(), BookingStatus::NoShow);
    until_delivered(receiver, 6).await;
    let reinstated = change(&missed, Change::Reinstate, COMMIT).await;
    assert_eq!(reinstated.status(), BookingStatus::Confirmed);
    until_delivered(receiver, 7).await;
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_once_even_if_another_change_follows_before_it_is_repeated() {
    let ProxiedVenue { proxy, fixture, .. } = &proxied_venue(25).await;
    let clients = fixture.service.clients.clone();
    let made = fixture.book(1).await;
    // The first run moves the booking to 18:30. A trigger, in the role of another call, then moves it to 19:00.
    sqlx::raw_sql(
        "CREATE FUNCTION move_on() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             UPDATE bookings SET start_time = '19:00' WHERE booking_id = NEW.booking_id AND start_time = '18:30';
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER moves_on AFTER UPDATE ON bookings DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION move_on();",
    )
    .execute(&mut harness::connect(&fixture.service.url).await)
    .await
    .expect("made");
    let move_it = act(&clients, Change::Move("18:30"), &made.booking_id, &made.etag);
    let moved = with_lost_answer(proxy, COMMIT, move_it).await;
    assert_eq!((moved.version, moved.start_time.as_str()), (2, "19:00"), "the answer is the current booking");
    let events = "SELECT count(*) FROM booking_events";
    assert_eq!(fixture.service.scalar::<i64>(events).await, 2, "created once and rescheduled once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_key_whose_commit_answer_is_lost_is_not_reported_as_replayed() {
    let ProxiedVenue { proxy, fixture, receiver, .. } = &proxied_venue(25).await;
    let clients = fixture.service.clients.clone();
    let made = fixture.book(1).await;

    let new = CreateVenueRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        name: "Second".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..Default::default()
    };
    let mut schedule = clients.schedule.clone();
    let venue = with_lost_answer(proxy, "-- CreateVenue:", schedule.create_venue(new.clone())).await.into_inner();
    assert!(!venue.replayed);
    assert!(schedule.create_venue(new).await.expect("replayed").into_inner().replayed);

    let mut client = clients.payments.clone();
    let paid = payments::cash(&made.booking_id, 875);
    let recorded = with_lost_answer(proxy, COMMIT, client.record_payment(paid.clone())).await.into_inner();
    assert!(!recorded.replayed);
    assert_eq!(recorded.booking.expect("the booking").status(), BookingStatus::Confirmed);
    until_delivered(receiver, 1).await;
    assert!(client.record_payment(paid).await.expect("replayed").into_inner().replayed);

    fixture.sql("UPDATE slots SET reserved = capacity WHERE start_time = '18:30'").await;
    let mut join = waitlist::request(&fixture.venue_id, 1);
    join.start_time = "18:30".to_owned();
    let mut bookings = clients.bookings.clone();
    let joined = with_lost_answer(proxy, "-- JoinWaitlist:", bookings.join_waitlist(join.clone())).await.into_inner();
    assert!(!joined.replayed);
    assert!(bookings.join_waitlist(join).await.expect("replayed").into_inner().replayed);
    let entry = joined.entry.expect("the entry");
    let left = with_lost_answer(proxy, "-- LeaveWaitlist:", waitlist::leave(&clients, &entry)).await;
    assert_eq!(left.status(), WaitlistEntryStatus::Left);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_venue_succeed_when_their_commit_answers_are_lost() {
    let ProxiedVenue { proxy, fixture, .. } = &proxied_venue(25).await;
    let mut schedule = fixture.service.clients.schedule.clone();
    let venue = fixtures::venue(&mut fixture.service.clients.clone(), 10).await.expect("a venue");
    let named = teppan_shared::contract::booking::v1::Venue { name: "Renamed".to_owned(), ..venue.clone() };
    let mask = FieldMask { paths: vec!["name".to_owned()] };
    let rename = UpdateVenueRequest { venue: Some(named), update_mask: Some(mask), ..Default::default() };
    let renamed = with_lost_answer(proxy, "-- UpdateVenue:", schedule.update_venue(rename)).await.into_inner().venue;
    assert_eq!(renamed.expect("the venue").name, "Renamed");
    let set = SlotUpdate { capacity: Some(7), ..SlotUpdate::of(&venue.venue_id) };
    let set = with_lost_answer(proxy, "-- UpdateSlot:", schedule.update_slot(set)).await.into_inner().slot;
    assert_eq!(set.expect("the slot").capacity, 7);
    let laid = schedule.set_weekly_schedule(fixtures::every_evening(&venue.venue_id, 9));
    with_lost_answer(proxy, "-- SetWeeklySchedule:", laid).await;
    let seats = "SELECT count(*) FROM slots WHERE capacity = 9";
    assert!(fixture.service.scalar::<i64>(seats).await > 80);

    let special = SpecialDays {
        special_days_id: Uuid::now_v7().to_string(),
        first_date: fixtures::date().to_string(),
        closed: true,
        ..Default::default()
    };
    let (venue_id, special_days_id) = (venue.venue_id, special.special_days_id.clone());
    let set = SetSpecialDaysRequest { venue_id: venue_id.clone(), special_days: Some(special), ..Default::default() };
    with_lost_answer(proxy, "-- SetWeeklySchedule:", schedule.set_special_days(set)).await;
    let delete = DeleteSpecialDaysRequest { venue_id, special_days_id, ..Default::default() };
    let delete = schedule.delete_special_days(delete);
    assert!(with_lost_answer(proxy, "-- SetWeeklySchedule:", delete).await.into_inner().deleted);
}
