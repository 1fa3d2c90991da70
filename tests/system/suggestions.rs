//! SuggestSlots, and the alternatives in the errors of refused bookings.

use std::time::Instant;

use chrono::{DateTime, Days};
use prost::Message as _;
use prost_types::FieldMask;
use teppan_shared::contract::booking::v1::{
    Alternatives, CreateBookingRequest, RescheduleBookingRequest, SlotSuggestion, SuggestSlotsRequest,
    UpdateVenueRequest, Venue,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures::{self, SlotUpdate},
    harness::Booking,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A venue in this time zone with slots of four seats, every half hour between these times, on every day.
async fn venue(clients: &mut BookingClients, zone: &str, first_start: &str, last_start: &str) -> String {
    let created = fixtures::venue_with(clients, 4, |venue| zone.clone_into(&mut venue.time_zone)).await;
    let venue_id = created.expect("a venue").venue_id;
    let mut schedule = fixtures::every_evening(&venue_id, 4);
    first_start.clone_into(&mut schedule.periods[0].first_start);
    last_start.clone_into(&mut schedule.periods[0].last_start);
    clients.schedule.set_weekly_schedule(schedule).await.expect("set");
    venue_id
}

fn day(days: u64) -> String {
    (fixtures::date() + Days::new(days)).to_string()
}

fn wish(venue_ids: &[&str], time: &str, party_size: i32) -> SuggestSlotsRequest {
    SuggestSlotsRequest {
        venue_ids: venue_ids.iter().map(ToString::to_string).collect(),
        date: day(0),
        time: time.to_owned(),
        party_size,
        ..Default::default()
    }
}

/// Date, start and distance of each suggestion.
fn starts(suggestions: &[SlotSuggestion]) -> Vec<(&str, &str, i32)> {
    suggestions.iter().map(|it| (it.date.as_str(), it.start_time.as_str(), it.minutes_from_wished)).collect()
}

/// The alternatives of a refusal, as a client decodes them.
pub fn alternatives(refusal: &Status) -> Option<Vec<SlotSuggestion>> {
    let details = tonic_types::pb::Status::decode(refusal.details()).expect("details").details;
    let detail = details.iter().find(|any| any.type_url == "type.googleapis.com/teppan.booking.v1.Alternatives")?;
    Some(Alternatives::decode(&*detail.value).expect("alternatives").suggestions)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("an ErrorInfo").reason
}

fn booking(venue_id: &str, start_time: &str, party_size: i32) -> CreateBookingRequest {
    CreateBookingRequest { start_time: start_time.to_owned(), ..fixtures::booking(venue_id, party_size) }
}

async fn refused(clients: &mut BookingClients, request: CreateBookingRequest) -> Status {
    clients.bookings.create_booking(request).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_of_venues_in_different_time_zones_are_suggested_over_midnight_by_their_own_clocks() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let berlin = venue(clients, "Europe/Berlin", "22:00", "23:30").await;
    let tokyo = venue(clients, "Asia/Tokyo", "00:00", "01:00").await;
    let unknown = uuid::Uuid::now_v7().to_string();
    let venues = [unknown.as_str(), &tokyo, &berlin];
    let request = SuggestSlotsRequest { window_minutes: 60, limit: 20, ..wish(&venues, "23:45", 2) };
    let answer = clients.bookings.suggest_slots(request.clone()).await.expect("suggested").into_inner();
    assert_eq!(answer.unknown_venue_ids, [unknown.as_str()]);
    let (today, tomorrow) = (day(0), day(1));
    let expected =
        [(&*today, "23:30", -15), (&tomorrow, "00:00", 15), (&today, "23:00", -45), (&tomorrow, "00:30", 45)];
    assert_eq!(starts(&answer.suggestions), expected);
    let first = &answer.suggestions[0];
    assert_eq!((first.venue_id.as_str(), first.venue_name.as_str()), (berlin.as_str(), "Teppan Garden"));
    assert_eq!((first.open_seats, first.price_per_person_cents, first.total_cents), (4, 3500, 7000));
    assert_eq!(first.currency, "EUR");
    let midnight_in_tokyo = DateTime::parse_from_rfc3339(&format!("{tomorrow}T00:00:00+09:00")).expect("an instant");
    let start = |it: &SlotSuggestion| it.starts_at.expect("a start").seconds;
    assert_eq!(start(&answer.suggestions[1]), midnight_in_tokyo.timestamp());
    assert_eq!(answer.suggestions[1].ends_at.expect("an end").seconds, midnight_in_tokyo.timestamp() + 7200);

    clients.bookings.create_booking(booking(&berlin, "23:30", 3)).await.expect("booked");
    let closed = SlotUpdate { start_time: "23:00".to_owned(), closed: Some(true), ..SlotUpdate::of(&berlin) };
    clients.schedule.update_slot(closed).await.expect("closed");
    let answer = clients.bookings.suggest_slots(SuggestSlotsRequest { limit: 1, ..request }).await;
    assert_eq!(starts(&answer.expect("suggested").into_inner().suggestions), [(&*tomorrow, "00:00", 15)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn equally_near_starts_are_suggested_the_earlier_first_and_then_in_the_order_of_the_request() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let one = venue(clients, "Europe/Berlin", "18:00", "20:00").await;
    let other = venue(clients, "America/New_York", "18:00", "20:00").await;
    for venues in [[one.as_str(), &other], [other.as_str(), &one]] {
        let answer =
            clients.bookings.suggest_slots(SuggestSlotsRequest { limit: 4, ..wish(&venues, "19:15", 2) }).await;
        let suggestions = answer.expect("suggested").into_inner().suggestions;
        let order: Vec<_> = suggestions.iter().map(|it| (it.venue_id.as_str(), it.start_time.as_str())).collect();
        let [first, second] = venues;
        assert_eq!(order, [(first, "19:00"), (second, "19:00"), (first, "19:30"), (second, "19:30")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_of_a_wish_is_named_at_once() {
    let mut service = Booking::start().await.ready().await;
    let id = uuid::Uuid::now_v7().to_string();
    let wrong = SuggestSlotsRequest {
        venue_ids: vec![id.clone(), "here".to_owned(), id],
        date: "tomorrow".to_owned(),
        time: "7pm".to_owned(),
        party_size: 0,
        window_minutes: 721,
        limit: 21,
    };
    let refused = service.clients.bookings.suggest_slots(wrong).await.expect_err("refused");
    let fields = refused.get_details_bad_request().expect("a BadRequest").field_violations;
    let fields: Vec<_> = fields.into_iter().map(|violation| violation.field).collect();
    let expected = ["venue_ids[1]", "venue_ids[2]", "date", "time", "party_size", "window_minutes", "limit"];
    assert_eq!(fields, expected);
    let none = service.clients.bookings.suggest_slots(wish(&[], "19:00", 2)).await.expect_err("refused");
    assert_eq!(reason(&none), "INVALID_FIELDS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_a_full_slot_names_the_nearest_starts_and_they_can_be_booked() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, "Europe/Berlin", "18:00", "21:00").await;
    clients.bookings.create_booking(booking(&venue, "19:00", 4)).await.expect("booked");
    let preview = CreateBookingRequest { validate_only: true, ..booking(&venue, "19:00", 2) };
    for request in [preview, booking(&venue, "19:00", 2)] {
        let refusal = refused(clients, request).await;
        assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::FailedPrecondition, "SLOT_FULL"));
        assert!(refusal.get_details_precondition_failure().is_some());
        let found = alternatives(&refusal).expect("alternatives");
        let today = day(0);
        assert_eq!(starts(&found), [(&*today, "18:30", -30), (&*today, "19:30", 30), (&*today, "18:00", -60)]);
        assert!(found.iter().all(|it| it.venue_id == venue && it.venue_name.is_empty()));
    }
    for suggestion in alternatives(&refused(clients, booking(&venue, "19:00", 2)).await).expect("alternatives") {
        let request = CreateBookingRequest {
            date: suggestion.date,
            start_time: suggestion.start_time,
            expected_total_cents: Some(suggestion.total_cents),
            ..fixtures::booking(&venue, 2)
        };
        clients.bookings.create_booking(request).await.expect("the suggestion is booked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_closed_missing_and_imminent_slots_name_alternatives_and_others_do_not() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, "Europe/Berlin", "18:00", "19:00").await;
    let closed = SlotUpdate { start_time: "18:30".to_owned(), closed: Some(true), ..SlotUpdate::of(&venue) };
    clients.schedule.update_slot(closed).await.expect("closed");
    let today = day(0);
    for (start_time, expected, minutes) in [("18:30", "SLOT_CLOSED", [-30, 30]), ("18:10", "SLOT_NOT_FOUND", [-10, 50])]
    {
        let refusal = refused(clients, booking(&venue, start_time, 2)).await;
        assert_eq!(reason(&refusal), expected);
        let found = alternatives(&refusal).expect("alternatives");
        assert_eq!(starts(&found), [(&*today, "18:00", minutes[0]), (&*today, "19:00", minutes[1])], "{expected}");
    }
    let past = CreateBookingRequest { date: "2026-01-05".to_owned(), ..booking(&venue, "18:00", 2) };
    assert_eq!(alternatives(&refused(clients, past).await), Some(Vec::new()), "no slot is near");

    let large = refused(clients, booking(&venue, "18:00", 5)).await;
    assert_eq!((reason(&large).as_str(), alternatives(&large)), ("SLOT_FULL", Some(Vec::new())));
    let other_price = CreateBookingRequest { expected_total_cents: Some(1), ..booking(&venue, "18:00", 2) };
    let refusal = refused(clients, other_price).await;
    assert_eq!((reason(&refusal).as_str(), alternatives(&refusal)), ("PRICE_CHANGED", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reschedule_names_other_starts_than_the_booking_has() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, "Europe/Berlin", "18:00", "20:00").await;
    let mine = clients.bookings.create_booking(booking(&venue, "18:30", 2)).await.expect("booked").into_inner();
    clients.bookings.create_booking(booking(&venue, "19:00", 4)).await.expect("booked");
    let request = |party_size, validate_only| RescheduleBookingRequest {
        booking_id: mine.booking.as_ref().expect("a booking").booking_id.clone(),
        start_time: "19:00".to_owned(),
        party_size,
        validate_only,
        ..Default::default()
    };
    let today = day(0);
    for validate_only in [true, false] {
        let refusal = clients.bookings.reschedule_booking(request(None, validate_only)).await.expect_err("refused");
        assert_eq!(reason(&refusal), "SLOT_FULL");
        let found = alternatives(&refusal).expect("alternatives");
        assert_eq!(starts(&found), [(&*today, "19:30", 30), (&*today, "18:00", -60), (&*today, "20:00", 60)]);
        assert_eq!(found[0].total_cents, 7000, "for the party of the booking");
    }
    let larger = clients.bookings.reschedule_booking(request(Some(4), false)).await.expect_err("refused");
    let found = alternatives(&larger).expect("alternatives");
    assert_eq!((starts(&found)[0], found[0].total_cents), ((&*today, "19:30", 30), 14_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn alternatives_cost_what_the_refused_party_would_pay() {
    let mut service = Booking::start().await.ready().await;
    let clients = &mut service.clients;
    let venue = venue(clients, "Europe/Berlin", "18:00", "20:00").await;
    minimum_spend(clients, &venue, 20_000).await;
    let mine = clients.bookings.create_booking(booking(&venue, "18:30", 2)).await.expect("booked").into_inner();
    minimum_spend(clients, &venue, 0).await;
    clients.bookings.create_booking(booking(&venue, "19:00", 4)).await.expect("booked");
    let request = RescheduleBookingRequest {
        booking_id: mine.booking.expect("a booking").booking_id,
        start_time: "19:00".to_owned(),
        ..Default::default()
    };
    let refusal = clients.bookings.reschedule_booking(request.clone()).await.expect_err("refused");
    let nearest = alternatives(&refusal).expect("alternatives").remove(0);
    assert_eq!((nearest.start_time.as_str(), nearest.total_cents), ("19:30", 20_000), "a booking keeps its terms");
    let agreed = RescheduleBookingRequest {
        start_time: nearest.start_time,
        expected_total_cents: Some(nearest.total_cents),
        ..request
    };
    clients.bookings.reschedule_booking(agreed).await.expect("moved for the price that was named");

    minimum_spend(clients, &venue, 20_000).await;
    let refusal = refused(clients, booking(&venue, "19:00", 3)).await;
    assert_eq!(alternatives(&refusal).expect("alternatives")[0].total_cents, 20_000, "the venue's terms of today");
}

async fn minimum_spend(clients: &mut BookingClients, venue_id: &str, minimum_spend_cents: i64) {
    let request = UpdateVenueRequest {
        venue: Some(Venue { venue_id: venue_id.to_owned(), minimum_spend_cents, ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["minimum_spend_cents".to_owned()] }),
        ..Default::default()
    };
    clients.schedule.update_venue(request).await.expect("updated");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_one_hot_slot_share_their_searches() {
    const CALLS: u64 = 40;
    let (proxy, mut service) = Booking::behind_a_proxy(|settings| settings.database_limits.max_connections = 1).await;
    let clients = &mut service.clients;
    let venue = venue(clients, "Europe/Berlin", "18:00", "20:00").await;
    clients.bookings.create_booking(booking(&venue, "19:00", 4)).await.expect("booked");
    for _ in 0..2 {
        refused(clients, booking(&venue, "19:00", 2)).await;
    }
    let (began, before) = (Instant::now(), proxy.round_trips_of_calls());
    for _ in 0..CALLS {
        let refusal = refused(clients, booking(&venue, "19:00", 2)).await;
        assert_eq!(alternatives(&refusal).map(|found| found.len()), Some(3));
    }
    // A search a second. Background work also sends statements, now and then.
    let searches = proxy.round_trips_of_calls() - before - CALLS;
    assert!(searches <= began.elapsed().as_secs() + 6, "{searches} in {:?}", began.elapsed());
}
