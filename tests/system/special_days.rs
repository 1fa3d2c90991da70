//! Special days of venues.

use std::time::Duration;

use chrono::{Days, TimeDelta};
use futures::future::join_all;
use prost_types::FieldMask;
use teppan_shared::{
    clock::Clock,
    contract::booking::v1::{
        BookingStatus, CreateBookingRequest, CreateVenueRequest, DeleteSpecialDaysRequest, DeleteSpecialDaysResponse,
        ListAvailabilityRequest, ListSpecialDaysRequest, SchedulePeriod, SetSpecialDaysRequest, SetSpecialDaysResponse,
        SlotAvailability, SpecialDays, UnavailableReason, UpdateVenueRequest, Venue,
    },
};
use teppan_tests::{
    clients::BookingClients,
    fixtures::{self, SlotUpdate},
    harness::{self, Booking, eventually},
};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

fn day(days: u64) -> String {
    (fixtures::date() + Days::new(days)).to_string()
}

/// Special days of this many days, from the date of the fixtures on, that change nothing yet.
fn special(days: u64) -> SpecialDays {
    SpecialDays {
        special_days_id: Uuid::now_v7().to_string(),
        first_date: day(0),
        last_date: day(days - 1),
        reason: "private event".to_owned(),
        ..Default::default()
    }
}

fn closed(days: u64) -> SpecialDays {
    SpecialDays { closed: true, ..special(days) }
}

/// A venue with slots of ten seats at 18:00, 19:00 and 20:00, without deposits.
async fn venue(clients: &mut BookingClients, horizon_days: i32) -> String {
    let change = |venue: &mut CreateVenueRequest| {
        (venue.deposit_percent, venue.horizon_days) = (Some(0), Some(horizon_days));
        "UTC".clone_into(&mut venue.time_zone);
    };
    let venue_id = fixtures::venue_with(clients, 10, change).await.expect("a venue").venue_id;
    let mut schedule = fixtures::every_evening(&venue_id, 10);
    "20:00".clone_into(&mut schedule.periods[0].last_start);
    schedule.periods[0].interval_minutes = 60;
    clients.schedule.set_weekly_schedule(schedule).await.expect("set");
    venue_id
}

async fn set(clients: &mut BookingClients, venue_id: &str, special: &SpecialDays) -> SetSpecialDaysResponse {
    try_set(clients, venue_id, special, false).await.expect("set")
}

async fn try_set(
    clients: &mut BookingClients,
    venue_id: &str,
    special: &SpecialDays,
    validate_only: bool,
) -> Result<SetSpecialDaysResponse, Status> {
    let request =
        SetSpecialDaysRequest { venue_id: venue_id.to_owned(), special_days: Some(special.clone()), validate_only };
    clients.schedule.set_special_days(request).await.map(tonic::Response::into_inner)
}

async fn delete(clients: &mut BookingClients, venue_id: &str, special: &SpecialDays) -> DeleteSpecialDaysResponse {
    let request = DeleteSpecialDaysRequest {
        venue_id: venue_id.to_owned(),
        special_days_id: special.special_days_id.clone(),
        validate_only: false,
    };
    clients.schedule.delete_special_days(request).await.expect("deleted").into_inner()
}

/// The start of each slot of a day, with its seats and price if it can be booked.
async fn slots(clients: &mut BookingClients, venue_id: &str, days: u64) -> Vec<(String, Option<(i32, i64)>)> {
    let request = ListAvailabilityRequest {
        venue_id: venue_id.to_owned(),
        from_date: day(days),
        to_date: day(days),
        ..Default::default()
    };
    let listed = clients.schedule.list_availability(request).await.expect("listed").into_inner().slots;
    let values = |slot: &SlotAvailability| slot.bookable.then_some((slot.capacity, slot.price_per_person_cents));
    for slot in listed.iter().filter(|slot| !slot.bookable) {
        assert_eq!(slot.unavailable_reason(), UnavailableReason::SlotClosed);
    }
    listed.iter().map(|slot| (slot.start_time.clone(), values(slot))).collect()
}

fn expected(slots: &[(&str, Option<(i32, i64)>)]) -> Vec<(String, Option<(i32, i64)>)> {
    slots.iter().map(|(start, values)| ((*start).to_owned(), *values)).collect()
}

const USUAL: Option<(i32, i64)> = Some((10, 3500));

fn booking(venue_id: &str, days: u64, start_time: &str) -> CreateBookingRequest {
    CreateBookingRequest { date: day(days), start_time: start_time.to_owned(), ..fixtures::booking(venue_id, 2) }
}

async fn book(clients: &mut BookingClients, request: CreateBookingRequest) -> String {
    let booking = clients.bookings.create_booking(request).await.expect("booked").into_inner().booking;
    booking.expect("a booking").booking_id
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_range_closes_its_slots_keeps_the_bookings_and_lists_those_affected() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, 90).await;
    let second = book(clients, booking(&venue, 1, "19:00")).await;
    let first = book(clients, booking(&venue, 0, "20:00")).await;
    book(clients, booking(&venue, 2, "18:00")).await;
    let two_days = closed(2);
    let open = slots(clients, &venue, 0).await;
    for validate_only in [true, false] {
        let answer = try_set(clients, &venue, &two_days, validate_only).await.expect("set");
        let affected: Vec<_> = answer.affected_bookings.iter().map(|booking| booking.booking_id.as_str()).collect();
        assert_eq!((affected, answer.affected_count), (vec![first.as_str(), &second], 2));
        let booking = &answer.affected_bookings[0];
        assert_eq!((booking.date.as_str(), booking.start_time.as_str(), booking.party_size), (&*day(0), "20:00", 2));
        assert_eq!(booking.status(), BookingStatus::Confirmed);
        let stored = answer.special_days.expect("special days");
        assert!(stored.set_at.is_some());
        assert_eq!(SpecialDays { set_at: None, ..stored }, two_days);
        assert_eq!(slots(clients, &venue, 0).await == open, validate_only, "a preview writes nothing");
    }
    let none = expected(&[("18:00", None), ("19:00", None), ("20:00", None)]);
    let all = expected(&[("18:00", USUAL), ("19:00", USUAL), ("20:00", USUAL)]);
    for (days, slots_of_day) in [(0, &none), (1, &none), (2, &all)] {
        assert_eq!(&slots(clients, &venue, days).await, slots_of_day, "day {days}");
    }
    let refused = clients.bookings.create_booking(booking(&venue, 1, "19:00")).await.expect_err("closed");
    assert_eq!(refused.get_details_error_info().expect("an ErrorInfo").reason, "SLOT_CLOSED");

    // After a booking was cancelled, the same call lists the others.
    let cancel = teppan_shared::contract::booking::v1::CancelBookingRequest { booking_id: first, ..Default::default() };
    clients.bookings.cancel_booking(cancel).await.expect("cancelled");
    let answer = set(clients, &venue, &two_days).await;
    assert_eq!((answer.affected_count, answer.affected_bookings[0].booking_id.as_str()), (1, second.as_str()));

    assert!(delete(clients, &venue, &two_days).await.deleted);
    assert_eq!(slots(clients, &venue, 1).await, all);
    assert!(!delete(clients, &venue, &two_days).await.deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn special_hours_seats_and_prices_change_only_the_given_part_of_the_day() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, 90).await;
    let mut late = SpecialDays { price_per_person_cents: Some(9900), from_time: "19:00".to_owned(), ..special(1) };
    set(clients, &venue, &late).await;
    let dear = Some((10, 9900));
    assert_eq!(slots(clients, &venue, 0).await, expected(&[("18:00", USUAL), ("19:00", dear), ("20:00", dear)]));
    (late.capacity, late.until_time) = (Some(4), "20:00".to_owned());
    set(clients, &venue, &late).await;
    let few = Some((4, 9900));
    assert_eq!(slots(clients, &venue, 0).await, expected(&[("18:00", USUAL), ("19:00", few), ("20:00", USUAL)]));

    let noon = SchedulePeriod {
        first_start: "12:00".to_owned(),
        last_start: "13:00".to_owned(),
        interval_minutes: 60,
        capacity: 6,
        ..Default::default()
    };
    let hours = SpecialDays { hours: vec![noon], until_time: "19:30".to_owned(), ..special(1) };
    set(clients, &venue, &hours).await;
    let lunch = Some((6, 0));
    let special = [("12:00", lunch), ("13:00", lunch), ("18:00", None), ("19:00", None), ("20:00", USUAL)];
    assert_eq!(slots(clients, &venue, 0).await, expected(&special), "those that were set last take precedence");
    let at_noon = book(clients, booking(&venue, 0, "12:00")).await;
    let answer = delete(clients, &venue, &hours).await;
    assert_eq!((answer.affected_count, answer.affected_bookings[0].booking_id.as_str()), (1, at_noon.as_str()));
    let before = [("12:00", None), ("13:00", None), ("18:00", USUAL), ("19:00", few), ("20:00", USUAL)];
    assert_eq!(slots(clients, &venue, 0).await, expected(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_update_slot_has_set_takes_precedence_over_special_days() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, 90).await;
    for (start_time, is_closed, capacity) in [("18:00", Some(false), None), ("19:00", None, Some(7))] {
        let update = SlotUpdate { start_time: start_time.to_owned(), ..SlotUpdate::of(&venue) };
        let update = SlotUpdate { closed: is_closed, capacity, ..update };
        clients.schedule.update_slot(update).await.expect("updated");
    }
    book(clients, booking(&venue, 0, "18:00")).await;
    let shut = closed(1);
    let answer = set(clients, &venue, &shut).await;
    assert_eq!(answer.affected_count, 0, "the slot stays open");
    assert_eq!(slots(clients, &venue, 0).await, expected(&[("18:00", USUAL), ("19:00", None), ("20:00", None)]));
    let fewer = SpecialDays { capacity: Some(1), special_days_id: shut.special_days_id, ..special(1) };
    set(clients, &venue, &fewer).await;
    let request = ListAvailabilityRequest { venue_id: venue, from_date: day(0), to_date: day(0), ..Default::default() };
    let listed = clients.schedule.list_availability(request).await.expect("listed").into_inner().slots;
    let capacities: Vec<_> = listed.iter().map(|slot| slot.capacity).collect();
    assert_eq!(capacities, [2, 7, 1], "two seats are reserved, and seven were set by UpdateSlot");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_are_laid_out_later_and_by_later_schedules_follow_the_special_days() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    // The venue's last day with slots is three days before the special days.
    let venue = venue(clients, 11).await;
    set(clients, &venue, &closed(2)).await;
    assert_eq!(slots(clients, &venue, 0).await, []);
    let farther = Venue { venue_id: venue.clone(), horizon_days: 14, ..Default::default() };
    let update_mask = Some(FieldMask { paths: vec!["horizon_days".to_owned()] });
    let update = UpdateVenueRequest { venue: Some(farther), update_mask, ..Default::default() };
    clients.schedule.update_venue(update).await.expect("updated");
    let none = expected(&[("18:00", None), ("19:00", None), ("20:00", None)]);
    assert_eq!(slots(clients, &venue, 0).await, none, "by UpdateVenue");

    let change = |settings: &mut booking_service::settings::Settings| {
        settings.clock = Clock::ahead(TimeDelta::days(3));
        settings.slot_layout_interval = Duration::from_millis(20);
    };
    let settings = harness::settings(service.url.clone(), &service.keys);
    let _later = Booking::changed(change, settings, service.url.clone(), service.keys.clone()).await.ready().await;
    let last = "SELECT count(*) FROM slots WHERE slot_date = (now() AT TIME ZONE 'UTC')::date + 16";
    eventually("three days more are laid out", async || service.scalar::<i64>(last).await == 3).await;
    let states = "SELECT string_agg(DISTINCT slot_date || ' ' || state, ', ') FROM slots
                  WHERE slot_date - (now() AT TIME ZONE 'UTC')::date BETWEEN 15 AND 16";
    let expected = format!("{} UNSCHEDULED, {} OPEN", day(1), day(2));
    assert_eq!(service.scalar::<String>(states).await, expected, "by the worker");

    let clients = &mut service.clients;
    clients.schedule.set_weekly_schedule(fixtures::every_evening(&venue, 10)).await.expect("set");
    assert_eq!(slots(clients, &venue, 0).await, none, "by SetWeeklySchedule");
}

#[tokio::test(flavor = "multi_thread")]
async fn special_days_are_listed_page_by_page_and_by_their_dates() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, 90).await;
    let mut all = Vec::new();
    for days in [4, 1, 3, 0, 2] {
        let special = SpecialDays { first_date: day(days), last_date: day(days + 1), ..closed(1) };
        set(clients, &venue, &special).await;
        all.push(special);
    }
    all.sort_by_key(|special| special.first_date.clone());
    let request = |from_date: &str, to_date: &str| ListSpecialDaysRequest {
        venue_id: venue.clone(),
        from_date: from_date.to_owned(),
        to_date: to_date.to_owned(),
        page_size: 2,
        page_token: String::new(),
    };
    for (mut request, expected) in [
        (request("", ""), &all[..]),
        (request(&day(2), ""), &all[1..]),
        (request(&day(2), &day(3)), &all[1..4]),
        (request(&day(6), ""), &[]),
    ] {
        let mut listed = Vec::new();
        loop {
            let page = clients.schedule.list_special_days(request.clone()).await.expect("listed").into_inner();
            assert!(page.special_days.len() <= 2);
            listed.extend(page.special_days.into_iter().map(|special| SpecialDays { set_at: None, ..special }));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed, expected, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_of_special_days_is_named_at_once() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, 90).await;
    let period = |first: &str, last: &str| SchedulePeriod {
        first_start: first.to_owned(),
        last_start: last.to_owned(),
        capacity: 4,
        ..Default::default()
    };
    let bounded = SchedulePeriod { valid_from: day(0), ..period("17:00", "17:00") };
    for (wrong, fields) in [
        (special(1), vec!["closed"]),
        (SpecialDays { capacity: Some(4), ..closed(1) }, vec!["closed"]),
        (SpecialDays { last_date: day(400), ..closed(1) }, vec!["last_date"]),
        (
            SpecialDays {
                special_days_id: "x".to_owned(),
                first_date: "soon".to_owned(),
                from_time: "19:00".to_owned(),
                until_time: "19:00".to_owned(),
                reason: "x".repeat(201),
                capacity: Some(0),
                price_per_person_cents: Some(-1),
                ..special(1)
            },
            vec!["special_days_id", "first_date", "until_time", "reason", "capacity", "price_per_person_cents"],
        ),
        (
            SpecialDays {
                until_time: "18:00".to_owned(),
                hours: vec![period("17:00", "18:00"), period("17:30", "17:30"), bounded],
                ..special(1)
            },
            vec!["hours[2].valid_from", "hours[0]", "hours[1]", "hours[2]"],
        ),
    ] {
        let refused = try_set(clients, &venue, &wrong, false).await.expect_err("refused");
        let violations = refused.get_details_bad_request().expect("a BadRequest").field_violations;
        let named: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        let fields: Vec<_> = fields.into_iter().map(|field| format!("special_days.{field}")).collect();
        assert_eq!(named, fields);
    }
    let unknown = try_set(clients, &Uuid::now_v7().to_string(), &closed(1), false).await.expect_err("refused");
    assert_eq!(unknown.get_details_error_info().expect("an ErrorInfo").reason, "VENUE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn special_days_that_many_clients_set_at_once_are_all_kept() {
    const CLIENTS: u64 = 12;
    let mut service = Booking::start().await.ready().await;
    let venue = venue(&mut service.clients, 90).await;
    let calls = (0..CLIENTS).map(|days| {
        let (mut clients, venue) = (service.clients.clone(), venue.clone());
        let special = SpecialDays { first_date: day(days), last_date: String::new(), ..closed(1) };
        async move { set(&mut clients, &venue, &special).await }
    });
    let bookings = (0..CLIENTS).map(|_| {
        let (mut clients, request) = (service.clients.clone(), booking(&venue, CLIENTS, "18:00"));
        async move { clients.bookings.create_booking(request).await }
    });
    let (_, booked) = tokio::join!(join_all(calls), join_all(bookings));
    assert_eq!(booked.iter().filter(|booked| booked.is_ok()).count(), 5, "ten seats for parties of two");
    let clients = &mut service.clients;
    let none = expected(&[("18:00", None), ("19:00", None), ("20:00", None)]);
    for days in 0..CLIENTS {
        assert_eq!(slots(clients, &venue, days).await, none, "day {days}");
    }
}
