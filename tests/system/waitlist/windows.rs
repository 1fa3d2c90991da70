//! Entries that wait for every start of a part of a day.

use futures::future::join_all;
use teppan_shared::contract::booking::v1::{
    Booking as Made, CreateBookingRequest, JoinWaitlistRequest, JoinWaitlistResponse, RescheduleBookingRequest,
    WaitlistEntryStatus,
};
use teppan_tests::{fixtures, harness};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{
    all_openings_settled, assert_sound, becomes, deadlocks, join_by, leave, now, replica, request,
    service_with_fast_workers,
};
use crate::{
    changes::{Change, VenueFixture, refusal},
    statements::{apply_plan_settings, plan, run},
};

const JOIN: &str = include_str!("../../../booking-service/src/waitlist/join_window.sql");
const STARTS: [&str; 3] = ["18:00", "18:30", "19:00"];

/// A venue whose slots at 18:00, 18:30 and 19:00 are each full with one party, and those bookings.
async fn full_evening(seats: i32) -> (VenueFixture, Vec<Made>) {
    let fixture = VenueFixture::over(service_with_fast_workers().await, seats, 0).await;
    let mut made = Vec::new();
    for start in STARTS {
        made.push(book(&fixture, start, seats).await);
    }
    (fixture, made)
}

async fn book(fixture: &VenueFixture, start: &str, party_size: i32) -> Made {
    let wish = fixtures::booking(&fixture.venue_id, party_size);
    let wish = CreateBookingRequest { start_time: start.to_owned(), ..wish };
    let made = fixture.service.clients.clone().bookings.create_booking(wish).await.expect("booked").into_inner();
    made.booking.expect("the booking")
}

/// A request of a new customer for every start from the first to the last.
fn window(fixture: &VenueFixture, party_size: i32, from: &str, until: &str) -> JoinWaitlistRequest {
    JoinWaitlistRequest {
        start_time: from.to_owned(),
        latest_start_time: until.to_owned(),
        ..request(&fixture.venue_id, party_size)
    }
}

async fn call(fixture: &VenueFixture, request: JoinWaitlistRequest) -> Result<JoinWaitlistResponse, Status> {
    Ok(fixture.service.clients.clone().bookings.join_waitlist(request).await?.into_inner())
}

fn again(request: &JoinWaitlistRequest) -> JoinWaitlistRequest {
    JoinWaitlistRequest { idempotency_key: Uuid::now_v7().to_string(), ..request.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_names_the_start_whose_seats_came_free_and_its_price() {
    let (fixture, made) = full_evening(2).await;
    let wish = window(&fixture, 2, "17:45", "18:45");
    let entry = join_by(&fixture.service.clients, wish.clone()).await.expect("joined");
    let shown = (&*entry.start_time, &*entry.earliest_start_time, &*entry.latest_start_time, entry.position);
    assert_eq!(shown, ("18:00", "17:45", "18:45", 1));
    let replayed = call(&fixture, wish).await.expect("replayed");
    assert_eq!((replayed.replayed, replayed.entry.as_ref()), (true, Some(&entry)));

    fixture.act(Change::Cancel, &made[2].booking_id).await.expect("cancelled");
    all_openings_settled(&fixture).await;
    assert_eq!(now(&fixture, &entry).await.status(), WaitlistEntryStatus::Waiting, "19:00 is too late");
    fixture.act(Change::Cancel, &made[1].booking_id).await.expect("cancelled");
    let offer = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    let shown = (&*offer.start_time, offer.offered_total_cents, &*offer.offered_currency, &*offer.latest_start_time);
    assert_eq!(shown, ("18:30", 7000, "EUR", "18:45"));
    fixture.act(Change::Confirm, &offer.booking_id).await.expect("accepted");
    let accepted = becomes(&fixture, &entry, WaitlistEntryStatus::Accepted).await;
    assert_eq!((&*accepted.start_time, accepted.offered_total_cents), ("18:30", 0));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_was_moved_out_of_its_window_is_a_place_in_its_new_slot() {
    let (fixture, made) = full_evening(2).await;
    let wish = window(&fixture, 2, "18:00", "18:30");
    let entry = join_by(&fixture.service.clients, wish.clone()).await.expect("joined");
    for cancelled in [&made[0], &made[2]] {
        fixture.act(Change::Cancel, &cancelled.booking_id).await.expect("cancelled");
    }
    let offer = becomes(&fixture, &entry, WaitlistEntryStatus::Offered).await;
    let to_the_end = RescheduleBookingRequest {
        booking_id: offer.booking_id.clone(),
        start_time: "19:00".to_owned(),
        ..Default::default()
    };
    fixture.service.clients.clone().bookings.reschedule_booking(to_the_end).await.expect("moved");
    let one_start =
        JoinWaitlistRequest { start_time: "19:00".to_owned(), latest_start_time: String::new(), ..again(&wish) };
    for validate_only in [true, false] {
        let refused = call(&fixture, JoinWaitlistRequest { validate_only, ..again(&one_start) }).await;
        let refused = refusal(&refused.expect_err("already there"), "waitlist_entry_id");
        assert_eq!(refused, ("ALREADY_WAITING".to_owned(), entry.waitlist_entry_id.clone()));
    }
    let later = JoinWaitlistRequest { latest_start_time: "21:00".to_owned(), ..again(&one_start) };
    let known = call(&fixture, later).await.expect("known");
    assert!(known.already_waiting && known.entry.is_some_and(|known| known.start_time == "19:00"));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_has_one_place_whatever_key_and_channel_a_call_uses() {
    let (fixture, _) = full_evening(2).await;
    let wish = window(&fixture, 2, "18:00", "18:30");
    let entry = join_by(&fixture.service.clients, wish.clone()).await.expect("joined");
    let other_channel = JoinWaitlistRequest {
        conversation_id: "whatsapp:7f3a91".to_owned(),
        start_time: "18:30".to_owned(),
        latest_start_time: "21:00".to_owned(),
        ..again(&wish)
    };
    for validate_only in [true, false] {
        let known = JoinWaitlistRequest { validate_only, ..again(&other_channel) };
        let known = call(&fixture, known).await.expect("known");
        assert!(known.already_waiting && !known.replayed);
        assert_eq!(known.entry.as_ref(), Some(&entry));
    }
    // A call for one start of the window is refused as it is for an entry of this start.
    let one_start = JoinWaitlistRequest { latest_start_time: String::new(), ..again(&wish) };
    let refused = call(&fixture, JoinWaitlistRequest { start_time: "18:30".to_owned(), ..one_start }).await;
    let refused = refusal(&refused.expect_err("already there"), "waitlist_entry_id");
    assert_eq!(refused, ("ALREADY_WAITING".to_owned(), entry.waitlist_entry_id.clone()));

    let contact = window(&fixture, 1, "18:00", "19:00").contact;
    let calls = (0..12).map(|n| {
        let wish = window(&fixture, 1, STARTS[n % 3], "19:00");
        call(&fixture, JoinWaitlistRequest { contact: contact.clone(), ..wish })
    });
    let ids: std::collections::HashSet<_> = join_all(calls)
        .await
        .into_iter()
        .map(|answer| answer.expect("joined or known").entry.expect("the entry").waitlist_entry_id)
        .collect();
    assert_eq!(ids.len(), 1, "of concurrent calls one joins");
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_book_a_slot_of_the_window_does_not_wait() {
    let (fixture, made) = full_evening(2).await;
    let written = fixture.service.written().await;
    let preview = JoinWaitlistRequest { validate_only: true, ..window(&fixture, 2, "18:00", "19:00") };
    let preview = call(&fixture, preview).await.expect("valid").entry.expect("the entry");
    assert_eq!((&*preview.start_time, &*preview.latest_start_time, preview.position), ("18:00", "19:00", 1));
    assert_eq!(preview.waitlist_entry_id, "");
    fixture.act(Change::Cancel, &made[2].booking_id).await.expect("cancelled");
    let refused = call(&fixture, window(&fixture, 2, "18:00", "19:00")).await.expect_err("19:00 is free");
    assert_eq!(refusal(&refused, "open_seats"), ("SLOT_AVAILABLE".to_owned(), "2".to_owned()));
    let large = call(&fixture, window(&fixture, 3, "18:00", "18:30")).await.expect_err("too large");
    assert_eq!(refusal(&large, "capacity"), ("PARTY_EXCEEDS_CAPACITY".to_owned(), "2".to_owned()));
    let none = call(&fixture, window(&fixture, 2, "12:00", "13:00")).await.expect_err("no slot");
    assert_eq!(refusal(&none, "").0, "SLOT_NOT_FOUND");
    let wrong = JoinWaitlistRequest {
        areas: vec!["terrace".to_owned(), "terrace".to_owned()],
        ..window(&fixture, 2, "19:00", "18:00")
    };
    let violations = call(&fixture, wrong).await.expect_err("refused").get_details_bad_request().expect("violations");
    let fields: Vec<_> = violations.field_violations.iter().map(|it| &*it.field).collect();
    assert_eq!(fields, ["latest_start_time", "areas"]);
    // Nothing was written but the cancellation.
    assert_ne!(fixture.service.written().await, written);
    assert_eq!(fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_books_in_the_window_leaves_it_and_so_does_who_asks_for_it() {
    let (fixture, made) = full_evening(2).await;
    let (one, other) = (window(&fixture, 1, "18:00", "19:00"), window(&fixture, 2, "18:00", "19:00"));
    let leaves = join_by(&fixture.service.clients, other).await.expect("joined");
    assert_eq!(leave(&fixture.service.clients, &leaves).await.expect("left").status(), WaitlistEntryStatus::Left);
    // The seats are kept from the worker, so that the customer can take them first.
    fixture.sql("UPDATE venues SET max_party_size = 1").await;
    let entry = join_by(&fixture.service.clients, one.clone()).await.expect("joined");
    fixture.sql("UPDATE waitlist_entries SET party_size = 2").await;
    fixture.act(Change::Cancel, &made[1].booking_id).await.expect("cancelled");
    let booking = CreateBookingRequest {
        contact: one.contact,
        start_time: "18:30".to_owned(),
        ..fixtures::booking(&fixture.venue_id, 1)
    };
    fixture.service.clients.clone().bookings.create_booking(booking).await.expect("booked");
    becomes(&fixture, &entry, WaitlistEntryStatus::Left).await;
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slots_that_come_free_at_once_are_offered_to_each_entry_once() {
    let (fixture, made) = full_evening(4).await;
    let _second = replica(&fixture).await;
    let windows = [("18:00", "19:00"), ("18:00", "18:30"), ("18:30", "19:00"), ("19:00", "19:00")];
    let joins = (0..16).map(|n| {
        let (from, until) = windows[n % 4];
        join_by(&fixture.service.clients, window(&fixture, 1 + i32::from(n % 3 == 0), from, until))
    });
    let entries: Vec<_> = join_all(joins).await.into_iter().map(|it| it.expect("joined")).collect();
    join_all(made.iter().map(|made| fixture.act(Change::Cancel, &made.booking_id))).await;
    all_openings_settled(&fixture).await;
    let outside = "SELECT count(*) FROM waitlist_entries w JOIN bookings b USING (waitlist_entry_id)
                   WHERE b.start_time NOT BETWEEN w.from_time AND w.until_time";
    assert_eq!(fixture.service.scalar::<i64>(outside).await, 0);
    let unserved = "SELECT count(*) FROM waitlist_entries w JOIN slots s USING (venue_id, slot_date)
                    WHERE w.status = 'WAITING' AND s.start_time BETWEEN w.from_time AND w.until_time
                      AND s.reserved + w.party_size <= s.capacity";
    assert_eq!(fixture.service.scalar::<i64>(unserved).await, 0);
    let offers = fixture.service.scalar::<i64>("SELECT count(*) FROM waitlist_entries WHERE status = 'OFFERED'").await;
    assert!((6..=12).contains(&offers) && entries.len() == 16, "{offers} of 12 seats");
    assert_eq!(deadlocks(&fixture.service.url).await, 0);
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_for_a_window_reads_no_whole_table() {
    let (fixture, _) = full_evening(2).await;
    let entry = join_by(&fixture.service.clients, window(&fixture, 2, "18:00", "19:00")).await.expect("joined");
    let mut connection = harness::connect(&fixture.service.url).await;
    apply_plan_settings(&mut connection).await;
    let types =
        "text, bytea, uuid, date, time, integer, uuid, bytea[], bytea[], bytea, bigint, uuid, uuid, text, bytea,
                 text, timestamptz, text, text, time, text[], boolean";
    run(&mut connection, format!("PREPARE join_it ({types}) AS {JOIN}")).await;
    let call = format!(
        "join_it ('plan', sha256(''), '{}', '{}', '18:00', 2, gen_random_uuid(), ARRAY[sha256('plan')], '{{}}', '', 1,
             gen_random_uuid(), gen_random_uuid(), '', '', '', now(), NULL, NULL, '19:00', NULL, false)",
        fixture.venue_id, entry.date
    );
    let joined = plan(&mut connection, &call).await;
    assert!(!joined.contains("Seq Scan"), "{joined}");
    let waiting = "SELECT count(*) FROM waitlist_entries WHERE status = 'WAITING'";
    assert_eq!(fixture.service.scalar::<i64>(waiting).await, 2);
}
