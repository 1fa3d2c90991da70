//! The fee of a no-show: who owes what, and how it is paid.

use futures::future::join_all;
use teppan_shared::contract::booking::v1::{
    Booking as Made, BookingStatus, MarkNoShowRequest, ReinstateBookingRequest, Venue,
};
use teppan_tests::{clients::BookingClients, stripe::Intent};

use super::{StripeFixture, cash, sums};
use crate::changes::{VenueFixture, deposits::PATHS, terms::set_policy};

/// A venue without deposits that asks for 50.00 from each guest who does not come, and a booking of four for 140.00
/// that has begun.
async fn begun() -> (StripeFixture, Made) {
    begun_at(Venue { no_show_fee_per_person_cents: 5000, ..Venue::default() }).await
}

async fn begun_at(policy: Venue) -> (StripeFixture, Made) {
    let fixture = StripeFixture::with_seats(20).await;
    set_policy(&fixture, policy, &PATHS).await;
    let made = fixture.book(4).await;
    if made.status() == BookingStatus::Pending {
        fixture.record(cash(&made.booking_id, made.deposit_cents)).await.expect("recorded");
    }
    begin(&fixture).await;
    (fixture, made)
}

/// Lets the bookings begin an hour ago, in their rows only. They are as long as before.
async fn begin(fixture: &StripeFixture) {
    fixture.sql("UPDATE bookings SET starts_at = now() - interval '1 hour', ends_at = now() + interval '1 hour'").await;
}

async fn missed(clients: &BookingClients, made: &Made, waive_fee: bool, validate_only: bool) -> Made {
    let booking_id = made.booking_id.clone();
    let request = MarkNoShowRequest { booking_id, waive_fee, validate_only, ..Default::default() };
    let marked = clients.bookings.clone().mark_no_show(request).await.expect("marked");
    marked.into_inner().booking.expect("the booking")
}

async fn reinstated(fixture: &VenueFixture, made: &Made) -> Made {
    let request = ReinstateBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
    let back = fixture.service.clients.clone().bookings.reinstate_booking(request).await.expect("taken back");
    back.into_inner().booking.expect("the booking")
}

/// The fee, and what is due of it.
fn fee(booking: &Made) -> (i64, i64) {
    (booking.no_show_fee_cents, booking.no_show_fee_due_cents)
}

/// Puts the start of the booking back before its events are compared with its row.
async fn assert_sound(fixture: &StripeFixture) {
    fixture
        .sql(
            "UPDATE bookings b SET starts_at = s.starts_at, ends_at = s.ends_at FROM slots s
             WHERE (b.venue_id, b.slot_date, b.start_time) = (s.venue_id, s.slot_date, s.start_time)",
        )
        .await;
    fixture.assert_sums_and_audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_owed_until_stripe_reports_its_payment() {
    let (fixture, made) = begun().await;
    let preview = missed(&fixture.service.clients, &made, false, true).await;
    assert_eq!(fee(&preview), (20_000, 20_000));
    assert_eq!((fixture.read(&made.booking_id).await.status(), fee(&made)), (BookingStatus::Confirmed, (0, 0)));

    let marked = missed(&fixture.service.clients, &made, false, false).await;
    assert_eq!((marked.status(), fee(&marked)), (BookingStatus::NoShow, (20_000, 20_000)));
    let again = missed(&fixture.service.clients, &made, true, false).await;
    assert_eq!((again.version, fee(&again)), (marked.version, fee(&marked)), "it keeps its fee");
    let published = "SELECT concat_ws(' ', data ->> 'no_show_fee_cents', data ->> 'no_show_fee_due_cents',
        data ->> 'refund_due_cents', data ->> 'currency') FROM booking_events WHERE type = 'teppan.booking.no_show.v1'";
    assert_eq!(fixture.service.scalar::<String>(published).await, "20000 20000 0 EUR");

    fixture.send_and_wait(&Intent::of(&made.booking_id, 15_000).succeeded()).await;
    let part = fixture.read(&made.booking_id).await;
    assert_eq!((sums(&part), fee(&part)), ((15_000, 0, 0), (20_000, 5000)));
    fixture.record(cash(&made.booking_id, 5000)).await.expect("recorded");
    let paid = fixture.read(&made.booking_id).await;
    assert_eq!((sums(&paid), fee(&paid)), ((20_000, 0, 0), (20_000, 0)));
    fixture.send_and_wait(&Intent::of(&made.booking_id, 300).succeeded()).await;
    let over = fixture.read(&made.booking_id).await;
    assert_eq!((sums(&over), fee(&over)), ((20_300, 0, 300), (20_000, 0)), "only what exceeds the fee is owed");
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_and_what_was_owed_to_the_customer_pay_the_fee() {
    let policy = Venue { no_show_fee_per_person_cents: 1000, deposit_percent: 25, ..Venue::default() };
    let (fixture, made) = begun_at(policy).await;
    let marked = missed(&fixture.service.clients, &made, false, false).await;
    assert_eq!((fee(&marked), sums(&marked)), ((4000, 500), (3500, 0, 0)));
    fixture.send_and_wait(&Intent::of(&made.booking_id, 500).succeeded()).await;
    let paid = fixture.read(&made.booking_id).await;
    assert_eq!((fee(&paid), sums(&paid)), ((4000, 0), (4000, 0, 0)));
    assert_sound(&fixture).await;

    let (fixture, made) = begun().await;
    fixture.record(cash(&made.booking_id, 16_000)).await.expect("recorded");
    assert_eq!(fixture.read(&made.booking_id).await.refund_due_cents, 2000, "beyond the price");
    let marked = missed(&fixture.service.clients, &made, false, false).await;
    assert_eq!((fee(&marked), sums(&marked)), ((20_000, 4000), (16_000, 0, 0)));
    let back = reinstated(&fixture, &made).await;
    assert_eq!((back.status(), fee(&back), sums(&back)), (BookingStatus::Confirmed, (0, 0), (16_000, 0, 2000)));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waived_fee_is_not_owed_and_a_no_show_that_is_taken_back_gives_the_fee_back() {
    let (fixture, made) = begun().await;
    let waived = missed(&fixture.service.clients, &made, true, false).await;
    assert_eq!((waived.status(), fee(&waived)), (BookingStatus::NoShow, (0, 0)));
    reinstated(&fixture, &made).await;
    begin(&fixture).await;
    let marked = missed(&fixture.service.clients, &made, false, false).await;
    assert_eq!(fee(&marked), (20_000, 20_000));
    fixture.send_and_wait(&Intent::of(&made.booking_id, 20_000).succeeded()).await;
    let paid = fixture.read(&made.booking_id).await;
    assert_eq!((fee(&paid), sums(&paid)), ((20_000, 0), (20_000, 0, 0)));
    let back = reinstated(&fixture, &made).await;
    assert_eq!((fee(&back), sums(&back)), ((0, 0), (20_000, 0, 6000)), "beyond the price, as any payment");
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_payment_does_not_pay_the_fee() {
    let (fixture, made) = begun().await;
    missed(&fixture.service.clients, &made, false, false).await;
    let intent = Intent::of(&made.booking_id, 20_000);
    fixture.send_and_wait(&intent.succeeded()).await;
    fixture.send_and_wait(&intent.disputed()).await;
    assert_eq!(fee(&fixture.read(&made.booking_id).await), (20_000, 20_000));
    fixture.send_and_wait(&intent.dispute_won()).await;
    let won = fixture.read(&made.booking_id).await;
    assert_eq!((fee(&won), sums(&won)), ((20_000, 0), (20_000, 0, 0)));
    assert_sound(&fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_of_many_clients_beside_the_no_show_are_all_counted() {
    let (fixture, made) = begun().await;
    let payments = (0..10).map(|_| async { fixture.record(cash(&made.booking_id, 2500)).await.map(drop) });
    let no_shows = (0..4).map(|_| async { drop(missed(&fixture.service.clients, &made, false, false).await) });
    let (payments, _) = futures::future::join(join_all(payments), join_all(no_shows)).await;
    assert!(payments.iter().all(Result::is_ok));
    let after = fixture.read(&made.booking_id).await;
    assert_eq!((after.status(), fee(&after)), (BookingStatus::NoShow, (20_000, 0)));
    assert_eq!(sums(&after), (25_000, 0, 5000));
    assert_sound(&fixture).await;
}
