//! Deposits per person, of a fixed amount and from a size of the party on, and the minimum spend.

use futures::future::join_all;
use teppan_shared::contract::booking::v1::{
    BatchCheckAvailabilityRequest, Booking as Made, BookingStatus, CreateBookingRequest, CreateVenueRequest,
    QuoteBookingRequest, SlotQuery, SuggestSlotsRequest, Venue,
};
use teppan_tests::fixtures;
use tonic_types::StatusExt as _;

use super::{Change, VenueFixture, refusal, terms::set_policy};
use crate::verify;

/// The fields of a venue that decide what a booking costs.
pub const PATHS: [&str; 6] = [
    "deposit_percent",
    "deposit_per_person_cents",
    "deposit_fixed_cents",
    "deposit_min_party_size",
    "minimum_spend_cents",
    "no_show_fee_per_person_cents",
];

/// Total and deposit.
type Price = (i64, i64);

fn price(booking: &Made) -> Price {
    (booking.total_cents, booking.deposit_cents)
}

/// The price by each call that names it before a booking is made.
async fn quoted(fixture: &VenueFixture, party_size: i32) -> Vec<Price> {
    let mut clients = fixture.service.clients.clone();
    let (venue_id, date, start_time) = (fixture.venue_id.clone(), fixtures::date().to_string(), "18:00".to_owned());
    let query =
        SlotQuery { venue_id: venue_id.clone(), date: date.clone(), start_time: start_time.clone(), party_size };
    let batch = BatchCheckAvailabilityRequest { queries: vec![query] };
    let check = clients.schedule.batch_check_availability(batch).await.expect("checked").into_inner().checks.remove(0);
    let near = SuggestSlotsRequest {
        venue_ids: vec![venue_id.clone()],
        date: date.clone(),
        time: start_time.clone(),
        party_size,
        ..Default::default()
    };
    let suggested = clients.bookings.suggest_slots(near).await.expect("suggested").into_inner().suggestions.remove(0);
    let quote = QuoteBookingRequest { venue_id, date, start_time, party_size, area: String::new() };
    let quote = clients.bookings.quote_booking(quote).await.expect("quoted").into_inner();
    let dry = CreateBookingRequest { validate_only: true, ..fixtures::booking(&fixture.venue_id, party_size) };
    let preview = clients.bookings.create_booking(dry).await.expect("valid").into_inner().booking.expect("a booking");
    // A suggestion has no deposit.
    vec![
        (check.total_cents, check.deposit_cents),
        (suggested.total_cents, quote.deposit_cents),
        (quote.total_cents, quote.deposit_cents),
        price(&preview),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_deposit_costs_what_was_quoted_also_for_calls_that_come_together() {
    let fixture = VenueFixture::with_deposit(1000).await;
    let venue = Venue::default;
    let each = Venue { deposit_per_person_cents: 1000, ..venue() };
    let from_six = Venue { deposit_min_party_size: 6, ..each.clone() };
    let spend = Venue { minimum_spend_cents: 20_000, deposit_percent: 25, ..venue() };
    // A guest pays 35.00.
    for (policy, party_size, expected) in [
        (each.clone(), 4, (14_000, 4000)),
        (Venue { deposit_fixed_cents: 5000, ..venue() }, 2, (7000, 5000)),
        (Venue { deposit_fixed_cents: 5000, deposit_percent: 25, ..each }, 2, (7000, 7000)),
        (Venue { deposit_fixed_cents: 30_000, ..venue() }, 2, (30_000, 30_000)),
        (from_six.clone(), 5, (17_500, 0)),
        (from_six, 6, (21_000, 6000)),
        (spend.clone(), 4, (20_000, 5000)),
        (spend, 8, (28_000, 7000)),
        (venue(), 3, (10_500, 0)),
    ] {
        set_policy(&fixture, policy.clone(), &PATHS).await;
        assert_eq!(quoted(&fixture, party_size).await, [expected; 4], "{policy:?}");
        let alone = fixture.book(party_size).await;
        let together = join_all((0..8).map(|_| fixture.book(party_size))).await;
        for made in together.iter().chain([&alone]) {
            assert_eq!(price(made), expected, "{policy:?}");
            assert_eq!(made.status() == BookingStatus::Pending, expected.1 > 0);
            let terms = made.terms.expect("terms");
            assert_eq!(terms.minimum_spend_cents, policy.minimum_spend_cents);
            assert_eq!(terms.deposit_min_party_size, policy.deposit_min_party_size);
        }
    }
    let agree = "SELECT count(*) FROM bookings b JOIN booking_events e USING (booking_id)
        WHERE (e.data -> 'terms')::jsonb = b.terms";
    assert_eq!(fixture.service.scalar::<i64>(agree).await, 9 * 9);
    verify::assert_derivable(&fixture.service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_price_than_the_minimum_spend_is_refused_with_the_total() {
    let fixture = VenueFixture::without_deposit(100).await;
    set_policy(&fixture, Venue { minimum_spend_cents: 20_000, ..Venue::default() }, &["minimum_spend_cents"]).await;
    let expecting = |cents, validate_only| {
        let expected_total_cents = Some(cents);
        let request =
            CreateBookingRequest { expected_total_cents, validate_only, ..fixtures::booking(&fixture.venue_id, 2) };
        let mut bookings = fixture.service.clients.bookings.clone();
        async move { bookings.create_booking(request).await }
    };
    for validate_only in [true, false] {
        let refused = expecting(7000, validate_only).await.expect_err("the price of the guests");
        assert_eq!(refusal(&refused, "total_cents"), ("PRICE_CHANGED".to_owned(), "20000".to_owned()));
        expecting(20_000, validate_only).await.expect("the minimum spend");
    }
    let answers = join_all((0..12).map(|n| expecting(if n % 2 == 0 { 7000 } else { 20_000 }, false))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(_) => assert_eq!(n % 2, 1),
            Err(refused) => assert_eq!(refusal(&refused, "total_cents").1, "20000", "{n}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_party_over_the_bound_changes_the_deposit_by_the_terms_of_the_booking() {
    let fixture = VenueFixture::without_deposit(100).await;
    let policy = Venue { deposit_per_person_cents: 1000, deposit_min_party_size: 6, ..Venue::default() };
    set_policy(&fixture, Venue { minimum_spend_cents: 10_000, ..policy }, &PATHS).await;
    let made = fixture.book(6).await;
    assert_eq!((price(&made), made.status()), ((21_000, 6000), BookingStatus::Pending));
    // The booking keeps its terms.
    set_policy(&fixture, Venue { deposit_percent: 100, ..Venue::default() }, &PATHS).await;
    let larger = fixture.act(Change::Resize(7), &made.booking_id).await.expect("larger");
    assert_eq!((price(&larger), larger.deposit_due_cents), ((24_500, 7000), 7000));
    let moved = fixture.act(Change::Move("18:30"), &made.booking_id).await.expect("moved");
    assert_eq!((price(&moved), moved.terms), ((24_500, 7000), made.terms));
    let small = fixture.act(Change::Resize(5), &made.booking_id).await.expect("smaller");
    assert_eq!((price(&small), small.status()), ((17_500, 0), BookingStatus::Confirmed), "no deposit is due any more");
    let smallest = fixture.act(Change::Resize(1), &made.booking_id).await.expect("one guest");
    assert_eq!(price(&smallest), (10_000, 0), "the minimum spend");
    verify::assert_derivable(&fixture.service.url).await;
    fixture.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_the_version_before_made_never_costs_more_with_fewer_guests() {
    let fixture = VenueFixture::without_deposit(100).await;
    let made = fixture.book(4).await;
    fixture.sql("UPDATE bookings SET terms = NULL").await;
    set_policy(&fixture, Venue { minimum_spend_cents: 50_000, deposit_fixed_cents: 100, ..Venue::default() }, &PATHS)
        .await;
    let smaller = fixture.act(Change::Resize(3), &made.booking_id).await.expect("smaller");
    assert_eq!((smaller.total_cents, smaller.deposit_cents), (14_000, 0));
    let moved = fixture.act(Change::Move("18:30"), &made.booking_id).await.expect("moved");
    assert_eq!(moved.total_cents, 50_000, "the venue's policy holds for another slot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_is_made_with_its_amounts_and_a_key_belongs_to_them() {
    let fixture = VenueFixture::without_deposit(10).await;
    let request = |change: fn(&mut CreateVenueRequest)| {
        let mut request = CreateVenueRequest {
            idempotency_key: "venue".to_owned(),
            name: "Teppan".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            deposit_per_person_cents: Some(1000),
            deposit_fixed_cents: Some(5000),
            deposit_min_party_size: Some(6),
            minimum_spend_cents: Some(20_000),
            no_show_fee_per_person_cents: Some(2000),
            ..Default::default()
        };
        change(&mut request);
        let mut schedule = fixture.service.clients.schedule.clone();
        async move { schedule.create_venue(request).await }
    };
    let made = request(|_| {}).await.expect("made").into_inner().venue.expect("the venue");
    let amounts = (made.deposit_per_person_cents, made.deposit_fixed_cents, made.deposit_min_party_size);
    assert_eq!((amounts, made.minimum_spend_cents, made.no_show_fee_per_person_cents), ((1000, 5000, 6), 20_000, 2000));
    let again = request(|_| {}).await.expect("replayed").into_inner();
    assert!(again.replayed && again.venue == Some(made));
    let other = request(|venue| venue.minimum_spend_cents = None).await.expect_err("another request");
    assert_eq!(refusal(&other, "").0, "IDEMPOTENCY_KEY_REUSED");
    let wrong = request(|venue| {
        (venue.deposit_per_person_cents, venue.deposit_fixed_cents) = (Some(-1), Some(100_000_001));
        (venue.deposit_min_party_size, venue.minimum_spend_cents) = (Some(51), Some(-1));
        venue.no_show_fee_per_person_cents = Some(i64::MAX);
    });
    let wrong = wrong.await.expect_err("wrong").get_details_bad_request().expect("violations").field_violations;
    assert_eq!(wrong.len(), 5, "{wrong:?}");
}
