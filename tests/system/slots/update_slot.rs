use chrono::Days;
use teppan_shared::contract::booking::v1::{SchedulePeriod, Slot, UpdateSlotRequest};
use teppan_tests::{
    clients::BookingClients,
    fixtures::{self, SlotUpdate},
    harness::Booking,
};
use tonic::{Code, IntoRequest, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{fields, kind};

async fn set(clients: &mut BookingClients, request: impl IntoRequest<UpdateSlotRequest>) -> Result<Slot, Status> {
    Ok(clients.schedule.update_slot(request).await?.into_inner().slot.expect("the slot"))
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_set_by_update_slot_are_kept_when_the_schedule_changes() {
    let mut booking = Booking::start().await.ready().await;
    let clients = &mut booking.clients;
    let venue = fixtures::venue(clients, 10).await.expect("a venue").venue_id;
    let seats = SlotUpdate { capacity: Some(7), ..SlotUpdate::of(&venue) };
    let slot = set(clients, seats).await.expect("set");
    assert_eq!((slot.capacity, slot.price_per_person_cents, slot.closed), (7, 3500, false));
    assert_eq!((slot.date, slot.start_time.as_str()), (fixtures::date().to_string(), "18:00"));

    // The capacity stays as it was set; the price was not set and follows the schedule.
    let mut schedule = fixtures::every_evening(&venue, 20);
    schedule.periods[0].price_per_person_cents = 1000;
    let done = clients.schedule.set_weekly_schedule(schedule.clone()).await.expect("set").into_inner();
    assert_eq!((done.slots_updated, done.slots_unchanged, done.slots_kept_reserved), (91, 0, 0));
    let slot = set(clients, SlotUpdate { closed: Some(true), ..SlotUpdate::of(&venue) }).await.expect("closed");
    assert_eq!((slot.capacity, slot.price_per_person_cents, slot.closed), (7, 1000, true));

    // A closed slot stays closed, while fields that were not set follow the schedule.
    schedule.periods[0].price_per_person_cents = 2000;
    let done = clients.schedule.set_weekly_schedule(schedule).await.expect("set").into_inner();
    assert_eq!((done.slots_updated, done.slots_unchanged), (90, 1));
    let refused = clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect_err("closed");
    assert_eq!(kind(&refused), (Code::FailedPrecondition, "SLOT_CLOSED".to_owned()));
    let slot = set(clients, SlotUpdate { closed: Some(false), ..SlotUpdate::of(&venue) }).await.expect("reopened");
    assert_eq!((slot.capacity, slot.price_per_person_cents, slot.closed), (7, 2000, false));

    // An opened slot stays open although the schedule no longer has it.
    let mut other = fixtures::every_evening(&venue, 20);
    other.periods[0] =
        SchedulePeriod { first_start: "12:00".to_owned(), last_start: "12:00".to_owned(), ..other.periods[0].clone() };
    let done = clients.schedule.set_weekly_schedule(other).await.expect("set").into_inner();
    assert_eq!((done.slots_created, done.slots_closed, done.slots_unchanged), (91, 90, 1));
    clients.bookings.create_booking(fixtures::booking(&venue, 7)).await.expect("booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_never_gets_fewer_seats_than_are_reserved() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue").venue_id;
    booking.clients.bookings.create_booking(fixtures::booking(&venue, 6)).await.expect("booked");

    let fewer = SlotUpdate { capacity: Some(5), price_per_person_cents: Some(1), ..SlotUpdate::of(&venue) };
    let refused = set(&mut booking.clients, fewer).await.expect_err("refused");
    assert_eq!(kind(&refused), (Code::FailedPrecondition, "CAPACITY_BELOW_RESERVED".to_owned()));
    let metadata = refused.get_details_error_info().expect("an ErrorInfo").metadata;
    assert_eq!((metadata["capacity"].as_str(), metadata["reserved_seats"].as_str()), ("5", "6"));
    assert!(refused.get_details_precondition_failure().is_some());
    let left: String =
        booking.scalar("SELECT capacity || ' ' || price_per_person_cents FROM slots WHERE reserved > 0").await;
    assert_eq!(left, "10 3500", "nothing was written");

    let just = SlotUpdate { capacity: Some(6), ..SlotUpdate::of(&venue) };
    let slot = set(&mut booking.clients, just).await.expect("set");
    assert_eq!((slot.capacity, slot.reserved_seats), (6, 6));
    let full = booking.clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect_err("full");
    assert_eq!(kind(&full), (Code::FailedPrecondition, "SLOT_FULL".to_owned()));
    let more = SlotUpdate { capacity: Some(7), ..SlotUpdate::of(&venue) };
    set(&mut booking.clients, more).await.expect("set");
    booking.clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("the new seat is sold");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_update_of_a_slot_writes_nothing() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue").venue_id;
    let request =
        SlotUpdate { closed: Some(true), capacity: Some(0), price_per_person_cents: Some(0), ..SlotUpdate::of(&venue) };
    let first = set(&mut booking.clients, request.clone()).await.expect("set");
    let row = "SELECT xmin::text FROM slots WHERE capacity = 0";
    let written: String = booking.scalar(row).await;
    assert_eq!(set(&mut booking.clients, request).await.expect("set"), first);
    assert_eq!(booking.scalar::<String>(row).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_violations_of_an_update_of_a_slot_are_reported_at_once_and_missing_venues_and_slots_are_named() {
    let mut booking = Booking::start().await.ready().await;
    let mut wrong = UpdateSlotRequest::from(SlotUpdate {
        venue_id: "x".to_owned(),
        date: "tomorrow".to_owned(),
        start_time: "6pm".to_owned(),
        closed: None,
        capacity: Some(100_001),
        price_per_person_cents: Some(-1),
    });
    let paths = ["start_time", "capacity", "*"].map(str::to_owned);
    wrong.update_mask.as_mut().expect("a mask").paths.extend(paths);
    let refused = set(&mut booking.clients, wrong.clone()).await.expect_err("refused");
    let expected = [
        "slot.venue_id",
        "slot.date",
        "slot.start_time",
        "slot.capacity",
        "slot.price_per_person_cents",
        "update_mask.paths[2]",
        "update_mask.paths[4]",
    ];
    assert_eq!(fields(&refused), expected);
    // Fields that the mask does not name are not read.
    wrong.update_mask.as_mut().expect("a mask").paths = vec!["closed".to_owned()];
    let refused = set(&mut booking.clients, wrong).await.expect_err("refused");
    assert_eq!(fields(&refused), ["slot.venue_id", "slot.date", "slot.start_time"]);
    let nothing = set(&mut booking.clients, SlotUpdate::of(&Uuid::now_v7().to_string())).await.expect_err("refused");
    assert_eq!(fields(&nothing), ["update_mask"]);
    let refused = set(&mut booking.clients, UpdateSlotRequest::default()).await.expect_err("refused");
    assert_eq!(fields(&refused), ["slot.venue_id", "slot.date", "slot.start_time", "update_mask"]);

    let close = |venue: &str| SlotUpdate { closed: Some(true), ..SlotUpdate::of(venue) };
    let missing = set(&mut booking.clients, close(&Uuid::now_v7().to_string())).await.expect_err("no venue");
    assert_eq!(kind(&missing), (Code::NotFound, "VENUE_NOT_FOUND".to_owned()));
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue").venue_id;
    let elsewhere = SlotUpdate { start_time: "18:30".to_owned(), ..close(&venue) };
    let missing = set(&mut booking.clients, elsewhere).await.expect_err("no slot");
    assert_eq!(kind(&missing), (Code::NotFound, "SLOT_NOT_FOUND".to_owned()));
    let late = (fixtures::date() + Days::new(400)).to_string();
    let missing = set(&mut booking.clients, SlotUpdate { date: late, ..close(&venue) }).await;
    assert_eq!(kind(&missing.expect_err("no slot")), (Code::NotFound, "SLOT_NOT_FOUND".to_owned()));
}
