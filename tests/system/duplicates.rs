//! A customer does not book twice for the same time at one venue, unless the call allows it.

use futures::future::join_all;
use teppan_shared::{
    contract::booking::v1::{
        Booking as Made, CancelBookingRequest, Contact, CreateBookingRequest, RescheduleBookingRequest, SchedulePeriod,
        SetWeeklyScheduleRequest, Weekday,
    },
    gather::GatherLimits,
};
use teppan_tests::{
    clients::BookingClients,
    fixtures,
    harness::{self, Booking},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A start each half hour from 18:00 to 22:00, for visits of two hours.
async fn venue(clients: &mut BookingClients) -> String {
    let venue_id = fixtures::firm_venue(clients, 1000).await.expect("a venue").venue_id;
    let period = SchedulePeriod {
        days: (Weekday::Monday as i32..=Weekday::Sunday as i32).collect(),
        first_start: "18:00".to_owned(),
        last_start: "22:00".to_owned(),
        interval_minutes: 30,
        duration_minutes: 120,
        capacity: 1000,
        price_per_person_cents: 3500,
        ..Default::default()
    };
    let schedule =
        SetWeeklyScheduleRequest { venue_id: venue_id.clone(), periods: vec![period], exceptions: Vec::new() };
    clients.schedule.set_weekly_schedule(schedule).await.expect("a schedule");
    venue_id
}

/// The same customer's booking for another start, with another key.
fn at(request: &CreateBookingRequest, start_time: &str) -> CreateBookingRequest {
    CreateBookingRequest {
        idempotency_key: uuid::Uuid::now_v7().to_string(),
        start_time: start_time.to_owned(),
        ..request.clone()
    }
}

async fn book(clients: &BookingClients, request: CreateBookingRequest) -> Result<Made, Status> {
    let made = clients.clone().bookings.create_booking(request).await?;
    Ok(made.into_inner().booking.expect("the booking"))
}

async fn reschedule(clients: &BookingClients, request: RescheduleBookingRequest) -> Result<Made, Status> {
    let moved = clients.clone().bookings.reschedule_booking(request).await?;
    Ok(moved.into_inner().booking.expect("the booking"))
}

fn assert_duplicate_of(refused: &Status, other: &Made) {
    let info = refused.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((refused.code(), info.reason.as_str()), (Code::FailedPrecondition, "DUPLICATE_BOOKING"));
    assert_eq!(info.metadata["booking_id"], other.booking_id);
    let starts_at = other.starts_at.as_ref().expect("a start").seconds;
    let named = chrono::DateTime::parse_from_rfc3339(&info.metadata["starts_at"]).expect("an instant");
    assert_eq!(named.timestamp(), starts_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_has_one_booking_at_a_time_unless_the_call_allows_another() {
    let service = Booking::start().await.ready().await;
    let clients = &service.clients;
    let venue_id = venue(&mut clients.clone()).await;
    let first = fixtures::booking(&venue_id, 2);
    let made = book(clients, first.clone()).await.expect("booked");
    let before = service.written().await;

    // By either part of the contact, in another channel and spelling.
    let contact = first.contact.clone().expect("a contact");
    let by_phone = Contact { email: String::new(), ..contact.clone() };
    let by_email = Contact { email: contact.email.to_uppercase(), phone: String::new(), ..contact };
    for contact in [by_phone, by_email] {
        for start_time in ["18:00", "19:30"] {
            for validate_only in [false, true] {
                let contact = Some(contact.clone());
                let again = CreateBookingRequest { contact, validate_only, ..at(&first, start_time) };
                assert_duplicate_of(&book(clients, again).await.expect_err("a duplicate"), &made);
            }
        }
    }
    assert_eq!(service.written().await, before, "a refusal writes nothing");
    assert_eq!(book(clients, first.clone()).await.expect("a replay"), made, "the same call is no duplicate");

    let next = book(clients, at(&first, "20:00")).await.expect("it begins when the first one ends");
    let second_table = CreateBookingRequest { allow_duplicate: true, ..at(&first, "18:00") };
    let second_table = book(clients, second_table).await.expect("allowed");
    assert_eq!(second_table.customer_id, made.customer_id);
    let elsewhere = venue(&mut clients.clone()).await;
    let elsewhere = CreateBookingRequest { venue_id: elsewhere, ..at(&first, "18:00") };
    book(clients, elsewhere).await.expect("another venue");

    for booking in [&made, &second_table, &next] {
        let cancel = CancelBookingRequest { booking_id: booking.booking_id.clone(), ..Default::default() };
        clients.clone().bookings.cancel_booking(cancel).await.expect("cancelled");
    }
    book(clients, at(&first, "19:00")).await.expect("the others were cancelled");
    crate::verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_not_moved_onto_another_one_of_its_customer_unless_the_call_allows_it() {
    let service = Booking::start().await.ready().await;
    let clients = &service.clients;
    let venue_id = venue(&mut clients.clone()).await;
    let first = fixtures::booking(&venue_id, 2);
    let made = book(clients, first.clone()).await.expect("booked");
    let late = book(clients, at(&first, "20:00")).await.expect("booked");

    let earlier = RescheduleBookingRequest {
        booking_id: late.booking_id.clone(),
        start_time: "19:30".to_owned(),
        ..Default::default()
    };
    for validate_only in [true, false] {
        let earlier = RescheduleBookingRequest { validate_only, ..earlier.clone() };
        assert_duplicate_of(&reschedule(clients, earlier).await.expect_err("a duplicate"), &made);
    }
    let later = RescheduleBookingRequest { start_time: "20:30".to_owned(), ..earlier.clone() };
    reschedule(clients, later).await.expect("its own visit does not count");
    let allowed = RescheduleBookingRequest { allow_duplicate: true, ..earlier.clone() };
    assert_eq!(reschedule(clients, allowed).await.expect("allowed").start_time, "19:30");
    let grown = RescheduleBookingRequest { party_size: Some(4), ..earlier };
    assert_eq!(reschedule(clients, grown).await.expect("it does not move").party_size, 4);
    crate::verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_bookings_and_moves_of_one_customer_to_overlapping_starts_one_succeeds() {
    let first = Booking::start().await.ready().await;
    // The other replica does not gather calls.
    let mut settings = harness::settings(first.url.clone(), &first.keys);
    settings.gather = GatherLimits::OFF;
    let second = Booking::with(settings, first.url.clone(), first.keys.clone()).await.ready().await;
    let venue_id = venue(&mut first.clients.clone()).await;
    // These starts have different slots, whose locks do not order the calls; each overlaps each other.
    let starts = ["18:00", "18:30", "19:00", "19:30"];
    let rounds = (0..24).map(|round| {
        let (first, second, venue_id) = (&first, &second, &venue_id);
        async move {
            let guest = fixtures::booking(venue_id, 1);
            // In half of the rounds the customer is known, and has a booking that is moved meanwhile.
            let is_known = round % 2 == 0;
            let known = if is_known { book(&first.clients, at(&guest, "22:00")).await.ok() } else { None };
            let creations = starts.iter().enumerate().map(|(n, start_time)| {
                let clients = if n % 2 == 0 { &first.clients } else { &second.clients };
                async { book(clients, at(&guest, start_time)).await }
            });
            let moves = known.iter().map(|known| {
                let booking_id = known.booking_id.clone();
                let request = RescheduleBookingRequest { booking_id, start_time: "18:30".to_owned(), ..<_>::default() };
                async { reschedule(&second.clients, request).await }
            });
            let (created, rescheduled) = tokio::join!(join_all(creations), join_all(moves));
            let (made, refused): (Vec<_>, Vec<_>) = created.into_iter().chain(rescheduled).partition(Result::is_ok);
            assert_eq!((made.len(), refused.len()), (1, starts.len() - usize::from(!is_known)), "{refused:?}");
            let winner = made.into_iter().find_map(Result::ok).expect("one succeeded");
            for refused in refused.into_iter().filter_map(Result::err) {
                assert_duplicate_of(&refused, &winner);
            }
        }
    });
    join_all(rounds).await;
    let overlapping = "SELECT count(*) FROM bookings a JOIN bookings b ON b.customer_id = a.customer_id
        AND b.booking_id > a.booking_id AND b.starts_at < a.ends_at AND b.ends_at > a.starts_at
        WHERE a.status = 'CONFIRMED' AND b.status = 'CONFIRMED'";
    assert_eq!(first.scalar::<i64>(overlapping).await, 0);
    crate::verify::assert_derivable(&first.url).await;
}
