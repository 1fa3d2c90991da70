use futures::future::join_all;
use sqlx::Connection as _;
use teppan_shared::{
    contract::booking::v1::{
        BookingStatus, Contact, CreateBookingRequest, CreateBookingResponse, GetBookingRequest, QuoteBookingRequest,
    },
    gather::GatherLimits,
};
use teppan_tests::{
    fixtures::{self, SlotUpdate},
    harness::{self, Booking},
    proxy::Proxy,
};
use tonic::Status;

use super::FAR;

const ALONE: &str = "-- CreateBooking: ";
const FOR_MANY: &str = "-- CreateBooking for ";

/// A service whose database is far away, and a venue with this many seats at 18:00.
async fn far_away(seats: i32, limits: GatherLimits) -> (Proxy, Booking, String) {
    let (proxy, booking) = Booking::behind_a_proxy(|settings| settings.gather = limits).await;
    let venue = fixtures::firm_venue(&mut booking.clients.clone(), seats).await.expect("a venue");
    proxy.set_round_trip_time(FAR);
    (proxy, booking, venue.venue_id)
}

fn few_statements() -> GatherLimits {
    GatherLimits { calls: 32, statements: 2, statements_far: 2 }
}

async fn at_once(booking: &Booking, requests: &[CreateBookingRequest]) -> Vec<Result<CreateBookingResponse, Status>> {
    let calls = requests.iter().cloned().map(|request| {
        let mut clients = booking.clients.clone();
        async move { clients.bookings.create_booking(request).await.map(tonic::Response::into_inner) }
    });
    join_all(calls).await
}

fn reason(answer: &Result<CreateBookingResponse, Status>) -> String {
    let info = answer.as_ref().err().and_then(tonic_types::StatusExt::get_details_error_info);
    info.map_or_else(String::new, |info| info.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_that_come_together_share_statements_and_each_caller_gets_its_own() {
    let (proxy, booking, venue_id) = far_away(1000, few_statements()).await;
    let requests: Vec<_> = (0..100).map(|n| fixtures::booking(&venue_id, 1 + n % 4)).collect();
    for (request, answer) in requests.iter().zip(at_once(&booking, &requests).await) {
        let made = answer.expect("a booking").booking.expect("it is set");
        let contact = made.contact.expect("it is set");
        assert_eq!(contact.email, request.contact.as_ref().expect("it is set").email);
        assert_eq!((made.party_size, made.conversation_id), (request.party_size, request.conversation_id.clone()));
    }
    let (alone, for_many) = (proxy.ran(ALONE), proxy.ran(FOR_MANY));
    assert!(alone + for_many < 15 && alone + 32 * for_many >= 100, "{alone} and {for_many}");
    let seats: i64 = requests.iter().map(|request| i64::from(request.party_size)).sum();
    assert_eq!(booking.scalar::<i64>("SELECT sum(reserved) FROM slots").await, seats);
    assert_eq!(booking.scalar::<i64>("SELECT count(*) FROM outbox_messages").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_gathered_call_is_the_booking_as_it_is_stored() {
    let (proxy, booking, firm) = far_away(1000, few_statements()).await;
    let with_deposit = fixtures::venue(&mut booking.clients.clone(), 100).await.expect("a venue").venue_id;
    let request = |venue_id: &String| CreateBookingRequest {
        special_requests: "A table by the window".to_owned(),
        source: "website".to_owned(),
        ..fixtures::booking(venue_id, 2)
    };
    let requests: Vec<_> = [&firm, &with_deposit].into_iter().cycle().take(30).map(request).collect();
    let mut statuses = Vec::new();
    for answer in at_once(&booking, &requests).await {
        let made = answer.expect("a booking").booking.expect("it is set");
        let get = GetBookingRequest { booking_id: made.booking_id.clone(), ..Default::default() };
        let stored = booking.clients.clone().bookings.get_booking(get).await.expect("read").into_inner().booking;
        statuses.push(made.status());
        assert_eq!(Some(made), stored);
    }
    assert!(proxy.ran(FOR_MANY) >= 1);
    assert_eq!(statuses[..2], [BookingStatus::Confirmed, BookingStatus::Pending]);
    crate::verify::assert_derivable(&booking.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gathered_calls_cost_what_each_alone_was_quoted() {
    let (proxy, booking, venue_id) = far_away(1000, few_statements()).await;
    let policy = "UPDATE venues SET deposit_percent = 10, deposit_per_person_cents = 700, deposit_fixed_cents = 3000,
                                    deposit_min_party_size = 3, minimum_spend_cents = 9000";
    harness::execute(&booking.url, policy).await;
    let requests: Vec<_> = (0..30).map(|n| fixtures::booking(&venue_id, 1 + n % 6)).collect();
    for (request, answer) in requests.iter().zip(at_once(&booking, &requests).await) {
        let made = answer.expect("a booking").booking.expect("it is set");
        let CreateBookingRequest { venue_id, date, start_time, party_size, .. } = request.clone();
        let quote = QuoteBookingRequest { venue_id, date, start_time, party_size, area: String::new() };
        let quote = booking.clients.clone().bookings.quote_booking(quote).await.expect("quoted").into_inner();
        assert_eq!((made.total_cents, made.deposit_cents), (quote.total_cents, quote.deposit_cents), "{party_size}");
        assert_eq!((made.terms, made.status() == BookingStatus::Pending), (quote.terms, party_size >= 3));
    }
    assert!(proxy.ran(FOR_MANY) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_comes_alone_has_a_statement_of_its_own() {
    let (proxy, booking, venue_id) = far_away(1000, few_statements()).await;
    for _ in 0..3 {
        at_once(&booking, &[fixtures::booking(&venue_id, 1)]).await.remove(0).expect("a booking");
    }
    assert_eq!((proxy.ran(ALONE), proxy.ran(FOR_MANY)), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_gathered_when_a_statement_may_have_one_call() {
    let (proxy, booking, venue_id) = far_away(1000, GatherLimits::OFF).await;
    let requests: Vec<_> = (0..20).map(|_| fixtures::booking(&venue_id, 1)).collect();
    assert!(at_once(&booking, &requests).await.iter().all(Result::is_ok));
    assert_eq!((proxy.ran(ALONE), proxy.ran(FOR_MANY)), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_a_statement_has_its_own_outcome() {
    let (proxy, booking, venue_id) = far_away(300, few_statements()).await;
    let closed = fixtures::firm_venue(&mut booking.clients.clone(), 30).await.expect("a venue").venue_id;
    let close = SlotUpdate { closed: Some(true), ..SlotUpdate::of(&closed) };
    booking.clients.clone().schedule.update_slot(close).await.expect("it is closed");
    let known = fixtures::booking(&venue_id, 1);
    at_once(&booking, std::slice::from_ref(&known)).await.remove(0).expect("a booking");
    let known_contact = known.contact.clone().expect("it is set");

    let ok = || fixtures::booking(&venue_id, 1);
    let again_by_email = CreateBookingRequest { contact: Some(known_contact.clone()), ..ok() };
    let again = CreateBookingRequest { contact: Some(known_contact.clone()), allow_duplicate: true, ..ok() };
    let adds_a_number = CreateBookingRequest {
        contact: Some(Contact { phone: String::new(), ..fixtures::booking(&venue_id, 1).contact.expect("it is set") }),
        ..ok()
    };
    let national = CreateBookingRequest {
        contact: Some(Contact { phone: "(212) 555-0199".to_owned(), ..known_contact }),
        allow_duplicate: true,
        ..ok()
    };
    let reused = CreateBookingRequest { party_size: 2, ..known.clone() };
    let nowhere = CreateBookingRequest { venue_id: uuid::Uuid::new_v4().to_string(), ..ok() };
    let requests = [
        (ok(), ""),
        (ok(), ""),
        // From here on, they wait.
        (ok(), ""),
        (known.clone(), ""),
        (fixtures::booking(&closed, 1), "SLOT_CLOSED"),
        (CreateBookingRequest { expected_total_cents: Some(1), ..ok() }, "PRICE_CHANGED"),
        (CreateBookingRequest { start_time: "03:00".to_owned(), ..ok() }, "SLOT_NOT_FOUND"),
        (nowhere, "VENUE_NOT_FOUND"),
        (reused, "IDEMPOTENCY_KEY_REUSED"),
        (again_by_email, "DUPLICATE_BOOKING"),
        (again, ""),
        (adds_a_number, ""),
        (national, ""),
        (ok(), ""),
    ];
    let (requests, expected): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    let answers = at_once(&booking, &requests).await;
    assert_eq!(answers.iter().map(reason).collect::<Vec<_>>(), expected);
    assert!(answers[3].as_ref().expect("a replay").replayed);
    assert!(proxy.ran(FOR_MANY) >= 1);
    assert_eq!(answers.iter().filter_map(|answer| answer.as_ref().ok()).filter(|answer| !answer.replayed).count(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_seats_go_to_as_many_as_they_suffice_for_when_all_come_together() {
    let (_proxy, booking, venue_id) = far_away(50, few_statements()).await;
    let requests: Vec<_> = (0..90).map(|_| fixtures::booking(&venue_id, 1)).collect();
    let answers = at_once(&booking, &requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 50);
    assert_eq!(answers.iter().filter(|answer| reason(answer) == "SLOT_FULL").count(), 40);
    assert_eq!(booking.scalar::<i32>("SELECT max(reserved) FROM slots").await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_on_two_replicas_make_one_booking_each_and_do_not_fail_their_neighbours() {
    let (proxy, first, venue_id) = far_away(1000, few_statements()).await;
    let second = Booking::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let requests: Vec<_> = (0..40).map(|_| fixtures::booking(&venue_id, 1)).collect();
    let (here, there) = tokio::join!(at_once(&first, &requests), at_once(&second, &requests));
    for (here, there) in here.into_iter().zip(there) {
        let (here, there) = (here.expect("a booking"), there.expect("a booking"));
        assert_eq!(here.booking, there.booking);
        assert!(here.replayed != there.replayed, "one of the two made it");
    }
    assert_eq!(first.scalar::<i32>("SELECT max(reserved) FROM slots").await, 40);
    assert!(proxy.ran(FOR_MANY) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_whose_common_answer_is_lost_are_made_once_and_answered_as_made() {
    let (proxy, booking, venue_id) = far_away(1000, few_statements()).await;
    proxy.lose_answer_to(FOR_MANY);
    let requests: Vec<_> = (0..20).map(|_| fixtures::booking(&venue_id, 1)).collect();
    let answers = at_once(&booking, &requests).await;
    assert_eq!(proxy.lost(), 1);
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| !answer.replayed)), "{answers:?}");
    assert_eq!(booking.scalar::<i64>("SELECT count(*) FROM bookings").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_slot_does_not_hold_up_the_bookings_of_other_slots() {
    let (_proxy, booking, locked) = far_away(1000, GatherLimits::default()).await;
    let free = fixtures::firm_venue(&mut booking.clients.clone(), 1000).await.expect("a venue").venue_id;
    let mut operator = harness::connect(&booking.url).await;
    let mut lock = operator.begin().await.expect("a transaction");
    let lock_it = "SELECT FROM slots WHERE venue_id = $1::uuid AND start_time = '18:00' FOR UPDATE";
    sqlx::query(lock_it).bind(&locked).execute(&mut *lock).await.expect("locked");
    let waiting: Vec<_> = (0..30).map(|_| fixtures::booking(&locked, 1)).collect();
    let others: Vec<_> = (0..90).map(|_| fixtures::booking(&free, 1)).collect();
    let mut waiting = Box::pin(at_once(&booking, &waiting));
    tokio::select! {
        answers = &mut waiting => panic!("the slot is locked: {answers:?}"),
        answers = at_once(&booking, &others) => assert!(answers.iter().all(Result::is_ok)),
    }
    lock.commit().await.expect("unlocked");
    assert!(waiting.await.iter().all(Result::is_ok));
}
