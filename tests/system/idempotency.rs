use futures::future::join_all;
use teppan_shared::contract::booking::v1::{Contact, CreateBookingRequest, CreateBookingResponse};
use teppan_tests::{fixtures, harness::Booking};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

type Change = fn(&mut CreateBookingRequest);

/// Makes concurrent duplicates of a call, alternating between two replicas.
async fn at_once(
    replicas: [&Booking; 2],
    request: &CreateBookingRequest,
    times: usize,
) -> Vec<Result<CreateBookingResponse, Status>> {
    let calls = (0..times).map(|n| {
        let mut clients = replicas[n % 2].clients.clone();
        let request = request.clone();
        async move { clients.bookings.create_booking(request).await.map(tonic::Response::into_inner) }
    });
    join_all(calls).await
}

async fn two_replicas() -> (Booking, Booking) {
    let first = Booking::start().await.ready().await;
    let second = Booking::over(first.url.clone(), first.keys.clone()).await.ready().await;
    (first, second)
}

fn assert_one_booking(answers: Vec<Result<CreateBookingResponse, Status>>) {
    let replies: Vec<_> = answers.into_iter().map(|answer| answer.expect("every call is answered")).collect();
    assert_eq!(replies.iter().filter(|reply| !reply.replayed).count(), 1);
    assert!(replies.iter().all(|reply| reply.booking == replies[0].booking));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_make_one_booking_and_get_equal_replies() {
    let (first, second) = two_replicas().await;
    let venue = fixtures::venue(&mut first.clients.clone(), 1000).await.expect("a venue");
    for _ in 0..5 {
        let request = fixtures::booking(&venue.venue_id, 3);
        assert_one_booking(at_once([&first, &second], &request, 24).await);
    }
    assert_eq!(first.scalar::<i64>("SELECT count(*) FROM bookings").await, 5);
    assert_eq!(first.scalar::<i32>("SELECT max(reserved) FROM slots").await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_make_one_booking_even_when_it_takes_the_last_seats() {
    let (first, second) = two_replicas().await;
    for _ in 0..5 {
        let venue = fixtures::venue(&mut first.clients.clone(), 4).await.expect("a venue");
        let request = fixtures::booking(&venue.venue_id, 4);
        assert_one_booking(at_once([&first, &second], &request, 24).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_of_many_bookings_leave_one_booking_for_each_key_and_no_orphans() {
    let (first, second) = two_replicas().await;
    let venue = fixtures::firm_venue(&mut first.clients.clone(), 30).await.expect("a venue");
    let requests: Vec<_> = (0..60).map(|_| fixtures::booking(&venue.venue_id, 1)).collect();
    let answers_by_key = join_all(requests.iter().map(|request| at_once([&first, &second], request, 4))).await;

    let mut booked = 0;
    for answers in answers_by_key {
        // Concurrent duplicates agree: all return the booking, or all are refused.
        let succeeded = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(
            succeeded == 0 || succeeded == answers.len(),
            "{:#?}",
            answers.iter().map(Result::as_ref).collect::<Vec<_>>()
        );
        booked += i64::from(succeeded > 0);
    }
    assert_eq!(booked, 30);
    for count in [
        "SELECT count(*) FROM bookings",
        "SELECT count(*) FROM booking_events",
        "SELECT count(DISTINCT event_id) FROM outbox_messages",
        "SELECT count(*) FROM customers",
        "SELECT count(*) FROM idempotency_keys WHERE method = 'CreateBooking'",
        "SELECT sum(reserved) FROM slots",
    ] {
        assert_eq!(first.scalar::<i64>(count).await, 30, "{count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_remembered_across_a_restart() {
    let first = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut first.clients.clone(), 10).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    let mut clients = first.clients.clone();
    let made = clients.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    let (url, keys) = (first.url.clone(), first.keys.clone());
    first.service.stop().await;

    let mut again = Booking::over(url, keys).await.ready().await;
    let replay = again.clients.bookings.create_booking(request).await.expect("replayed").into_inner();
    assert!(replay.replayed);
    assert_eq!(replay.booking, made.booking);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_any_other_request_is_refused() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let elsewhere = fixtures::venue(&mut booking.clients, 10).await.expect("another venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    booking.clients.bookings.create_booking(request.clone()).await.expect("booked");
    let before = booking.written().await;

    let changes: [(&str, Change); 12] = [
        ("party", |r| r.party_size = 3),
        ("date", |r| r.date = (fixtures::date() + chrono::Days::new(1)).to_string()),
        ("time", |r| r.start_time = "18:30".to_owned()),
        ("name", |r| contact(r).name = "Kenji Sato".to_owned()),
        ("e-mail", |r| contact(r).email.insert(0, 'x')),
        ("phone", |r| contact(r).phone = "+4930123457".to_owned()),
        ("no phone", |r| contact(r).phone.clear()),
        ("conversation", |r| r.conversation_id.push('x')),
        ("no conversation", |r| r.conversation_id.clear()),
        ("wishes", |r| r.special_requests.clear()),
        ("price", |r| r.expected_total_cents = Some(7000)),
        ("source", |r| r.source = "elsewhere".to_owned()),
    ];
    let mut others: Vec<_> = changes.map(|(what, change)| (what, changed(&request, change))).into();
    others.push(("venue", CreateBookingRequest { venue_id: elsewhere.venue_id, ..request.clone() }));
    for (what, other) in others {
        let refusal = booking.clients.bookings.create_booking(other).await.expect_err(what);
        assert_eq!(refusal.code(), Code::InvalidArgument, "{what}");
        let info = refusal.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.reason, "IDEMPOTENCY_KEY_REUSED", "{what}");
    }
    assert_eq!(booking.written().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_writes_nothing_for_any_spelling_of_the_same_customer() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 2);
    let made = booking.clients.bookings.create_booking(request.clone()).await.expect("booked").into_inner();
    let before = booking.written().await;
    let otherwise = changed(&request, |request| {
        let contact = contact(request);
        contact.email = format!(" {} ", contact.email.to_uppercase());
        contact.phone = contact.phone.replace("+49151", "+49 151 / ");
    });
    for same in [request, otherwise] {
        let reply = booking.clients.bookings.create_booking(same).await.expect("replayed").into_inner();
        assert!(reply.replayed);
        assert_eq!(reply.booking, made.booking);
    }
    assert_eq!(booking.written().await, before);
}

fn contact(request: &mut CreateBookingRequest) -> &mut Contact {
    request.contact.as_mut().expect("a contact")
}

fn changed(request: &CreateBookingRequest, change: Change) -> CreateBookingRequest {
    let mut request = request.clone();
    change(&mut request);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_keeps_no_key_and_may_succeed_later() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 2).await.expect("a venue");
    let request = fixtures::booking(&venue.venue_id, 3);
    booking.clients.bookings.create_booking(request.clone()).await.expect_err("too few seats");
    let more = fixtures::every_evening(&venue.venue_id, 3);
    booking.clients.schedule.set_weekly_schedule(more).await.expect("more seats");
    let made = booking.clients.bookings.create_booking(request).await.expect("booked").into_inner();
    assert!(!made.replayed);
}
