use futures::future::join_all;
use teppan_shared::gather::GatherLimits;
use teppan_tests::{
    fixtures,
    harness::{self, Booking},
    invariants::SLOTS_THAT_MISCOUNT,
};
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_seat_is_sold_once() {
    let first = Booking::start().await.ready().await;
    // The other replica does not gather calls.
    let mut settings = harness::settings(first.url.clone(), &first.keys);
    settings.gather = GatherLimits::OFF;
    let second = Booking::with(settings, first.url.clone(), first.keys.clone()).await.ready().await;
    let mut clients = first.clients.clone();
    let venue = fixtures::venue(&mut clients, 10).await.expect("a venue");

    // 64 concurrent calls on two replicas book one of ten seats.
    let calls = (0..64).map(|n| {
        let mut clients = if n % 2 == 0 { first.clients.clone() } else { second.clients.clone() };
        let request = fixtures::booking(&venue.venue_id, 1);
        async move { clients.bookings.create_booking(request).await }
    });
    let (sold, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);

    assert_eq!((sold.len(), refused.len()), (10, 54));
    for refusal in refused.into_iter().filter_map(Result::err) {
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        let info = refusal.get_details_error_info().expect("an ErrorInfo");
        assert_eq!((info.reason.as_str(), info.metadata["open_seats"].as_str()), ("SLOT_FULL", "0"));
    }
    assert_eq!(first.scalar::<i64>("SELECT count(*) FROM bookings").await, 10);
    assert_eq!(first.scalar::<i64>(SLOTS_THAT_MISCOUNT).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_of_any_size_never_take_more_seats_than_there_are() {
    let booking = Booking::start().await.ready().await;
    let mut clients = booking.clients.clone();
    let venue = fixtures::venue(&mut clients, 100).await.expect("a venue");
    let calls = (0..120).map(|n| {
        let mut clients = booking.clients.clone();
        let request = fixtures::booking(&venue.venue_id, 1 + n % 7);
        async move { clients.bookings.create_booking(request).await }
    });
    let answers = join_all(calls).await;

    assert!(answers.iter().any(Result::is_ok) && answers.iter().any(Result::is_err));
    let most: i32 = booking.scalar("SELECT max(reserved) FROM slots").await;
    // Some parties of one were refused, so no seat can be open.
    assert_eq!(most, 100);
    assert_eq!(booking.scalar::<i64>(SLOTS_THAT_MISCOUNT).await, 0);
}
