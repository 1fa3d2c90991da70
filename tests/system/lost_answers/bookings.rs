use std::time::Duration;

use booking_service::settings::OutboxSettings;
use prost_types::FieldMask;
use sqlx::Connection as _;
use teppan_shared::{
    contract::booking::v1::{
        Booking as Made, BookingStatus, CreateVenueRequest, UpdateVenueRequest, WaitlistEntryStatus,
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

use super::losing;
use crate::{
    changes::{Change, House, act},
    outbox::receiver::{Listening, Receiver},
    payments, waitlist,
};

/// The beginning of the statement by which every change is committed.
const COMMIT: &str = "-- Commits what was decided";

/// A service that reaches its database through a proxy, and that looks for nothing by itself: what it does, it was
/// nudged to. The house's own URL leads past the proxy.
struct Nudged {
    proxy: Proxy,
    house: House,
    receiver: Receiver,
    _listening: Listening,
}

async fn nudged(deposit_percent: i32) -> Nudged {
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
    Nudged { proxy, house: House::of(service, 500, deposit_percent).await, receiver, _listening: listening }
}

async fn delivers(receiver: &Receiver, count: usize) {
    harness::eventually("the follow-up's change is delivered", async || receiver.calls().len() >= count).await;
    assert_eq!(receiver.calls().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_whose_first_answer_is_lost_is_answered_and_delivered_as_by_the_first_call() {
    let Nudged { proxy, house, receiver, .. } = &nudged(0).await;
    let mut bookings = house.service.clients.bookings.clone();
    for count in 1..=3 {
        let request = fixtures::booking(&house.venue_id, 2);
        let call = bookings.create_booking(request.clone());
        let first = losing(proxy, "-- CreateBooking:", call).await.into_inner();
        assert!(!first.replayed);
        delivers(receiver, count).await;
        let again = bookings.create_booking(request).await.expect("replayed").into_inner();
        assert_eq!((again.replayed, again.booking), (true, first.booking));
    }
    assert_eq!(house.service.scalar::<i64>("SELECT count(*) FROM bookings").await, 3);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_made_once_also_when_its_first_run_is_still_under_way_when_it_is_run_again() {
    let Nudged { proxy, house, .. } = &nudged(0).await;
    for _ in 0..5 {
        let mut other = harness::connect(&house.service.url).await;
        let mut lock = other.begin().await.expect("a transaction");
        sqlx::query("SELECT FROM slots WHERE start_time = '18:00' FOR UPDATE")
            .execute(&mut *lock)
            .await
            .expect("locked");
        let mut bookings = house.service.clients.bookings.clone();
        let request = fixtures::booking(&house.venue_id, 1);
        let ran = proxy.ran("-- CreateBooking:");
        let going_on = async {
            harness::eventually("it is run", async || proxy.ran("-- CreateBooking:") > ran).await;
            proxy.close_connections();
            harness::eventually("it is run again", async || proxy.ran("-- CreateBooking:") > ran + 1).await;
            lock.commit().await.expect("the slot is free");
        };
        let (made, ()) = tokio::join!(bookings.create_booking(request.clone()), going_on);
        let made = made.expect("booked").into_inner();
        assert!(!made.replayed);
        let again = bookings.create_booking(request).await.expect("replayed").into_inner();
        assert_eq!((again.replayed, again.booking), (true, made.booking));
    }
    assert_eq!(house.service.scalar::<i64>("SELECT count(*) FROM bookings").await, 5);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_first_answer_is_lost_is_made_and_delivered_once() {
    let Nudged { proxy, house, receiver, .. } = &nudged(25).await;
    let clients = &house.service.clients;
    let change = async |made: &Made, change: Change, statement| -> Made {
        let changed = losing(proxy, statement, act(clients, change, &made.booking_id, &made.etag)).await;
        assert_eq!(changed.version, made.version + 1, "{change:?}");
        changed
    };
    let (kept, missed) = (house.book(2).await, house.book(1).await);
    let kept = change(&kept, Change::Confirm, COMMIT).await;
    delivers(receiver, 1).await;
    let kept = change(&kept, Change::Move("18:30"), COMMIT).await;
    delivers(receiver, 2).await;
    let kept = change(&kept, Change::Resize(3), COMMIT).await;
    delivers(receiver, 3).await;
    let cancelled = change(&kept, Change::Cancel, COMMIT).await;
    assert_eq!(cancelled.status(), BookingStatus::Cancelled);
    delivers(receiver, 4).await;
    let missed = change(&missed, Change::Confirm, COMMIT).await;
    delivers(receiver, 5).await;
    house.begin(&missed.booking_id).await;
    let missed = change(&missed, Change::NoShow, COMMIT).await;
    assert_eq!(missed.status(), BookingStatus::NoShow);
    delivers(receiver, 6).await;
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_another_follows_before_it_is_run_again_is_not_made_twice() {
    let Nudged { proxy, house, .. } = &nudged(25).await;
    let clients = house.service.clients.clone();
    let made = house.book(1).await;
    // The first run has moved it. Before the next one begins, another call moves it on.
    sqlx::raw_sql(
        "CREATE FUNCTION move_on() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             UPDATE bookings SET start_time = '19:00' WHERE booking_id = NEW.booking_id AND start_time = '18:30';
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER moves_on AFTER UPDATE ON bookings DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION move_on();",
    )
    .execute(&mut harness::connect(&house.service.url).await)
    .await
    .expect("made");
    let move_it = act(&clients, Change::Move("18:30"), &made.booking_id, &made.etag);
    let moved = losing(proxy, COMMIT, move_it).await;
    assert_eq!((moved.version, moved.start_time.as_str()), (2, "19:00"), "as it stands");
    let events = "SELECT count(*) FROM booking_events";
    assert_eq!(house.service.scalar::<i64>(events).await, 2, "made and moved, once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_call_whose_first_answer_is_lost_is_not_answered_as_replayed() {
    let Nudged { proxy, house, receiver, .. } = &nudged(25).await;
    let clients = house.service.clients.clone();
    let made = house.book(1).await;

    let new = CreateVenueRequest {
        idempotency_key: Uuid::now_v7().to_string(),
        name: "Second".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..Default::default()
    };
    let mut schedule = clients.schedule.clone();
    let venue = losing(proxy, "-- CreateVenue:", schedule.create_venue(new.clone())).await.into_inner();
    assert!(!venue.replayed);
    assert!(schedule.create_venue(new).await.expect("replayed").into_inner().replayed);

    let mut client = clients.payments.clone();
    let paid = payments::cash(&made.booking_id, 875);
    let recorded = losing(proxy, COMMIT, client.record_payment(paid.clone())).await.into_inner();
    assert!(!recorded.replayed);
    assert_eq!(recorded.booking.expect("the booking").status(), BookingStatus::Confirmed);
    delivers(receiver, 1).await;
    assert!(client.record_payment(paid).await.expect("replayed").into_inner().replayed);

    house.sql("UPDATE slots SET reserved = capacity WHERE start_time = '18:30'").await;
    let mut join = waitlist::request(&house.venue_id, 1);
    join.start_time = "18:30".to_owned();
    let mut bookings = clients.bookings.clone();
    let joined = losing(proxy, "-- JoinWaitlist:", bookings.join_waitlist(join.clone())).await.into_inner();
    assert!(!joined.replayed);
    assert!(bookings.join_waitlist(join).await.expect("replayed").into_inner().replayed);
    let entry = joined.entry.expect("the entry");
    let left = losing(proxy, "-- LeaveWaitlist:", waitlist::leave(&clients, &entry)).await;
    assert_eq!(left.status(), WaitlistEntryStatus::Left);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_venue_whose_first_answer_is_lost_succeed() {
    let Nudged { proxy, house, .. } = &nudged(25).await;
    let mut schedule = house.service.clients.schedule.clone();
    let venue = fixtures::venue(&mut house.service.clients.clone(), 10).await.expect("a venue");
    let named = teppan_shared::contract::booking::v1::Venue { name: "Renamed".to_owned(), ..venue.clone() };
    let mask = FieldMask { paths: vec!["name".to_owned()] };
    let rename = UpdateVenueRequest { venue: Some(named), update_mask: Some(mask), ..Default::default() };
    let renamed = losing(proxy, "-- UpdateVenue:", schedule.update_venue(rename)).await.into_inner().venue;
    assert_eq!(renamed.expect("the venue").name, "Renamed");
    let set = SlotUpdate { capacity: Some(7), ..SlotUpdate::of(&venue.venue_id) };
    let set = losing(proxy, "-- UpdateSlot:", schedule.update_slot(set)).await.into_inner().slot;
    assert_eq!(set.expect("the slot").capacity, 7);
    let laid = schedule.set_weekly_schedule(fixtures::every_evening(&venue.venue_id, 9));
    losing(proxy, "-- SetWeeklySchedule:", laid).await;
    let seats = "SELECT count(*) FROM slots WHERE capacity = 9";
    assert!(house.service.scalar::<i64>(seats).await > 80);
}
