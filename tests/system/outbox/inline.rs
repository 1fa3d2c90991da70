//! FOLLOW_UP_SCHEDULING=inline.

use std::time::{Duration, Instant};

use booking_service::settings::FollowUpScheduling;
use teppan_tests::{fixtures, harness};
use tonic::Request;

use super::{
    receiver::{Answer, Receiver},
    stage::{quiet, replica, waiting},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_delivery_schedules_the_follow_up_before_the_reply() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let mut inline = replica(&service, listening.address, |settings| {
        settings.follow_ups = FollowUpScheduling::Inline;
        settings.relay.relays = 0;
    })
    .await;
    for count in 1..=5 {
        inline.clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
        assert_eq!(receiver.calls().len(), count);
        assert_eq!(waiting(&service).await, 0);
    }
    inline.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_delivery_to_an_unavailable_receiver_fails_no_booking_and_the_relay_delivers_later() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let address = receiver.listen().await.leave().await;
    let mut inline = replica(&service, address, |settings| {
        settings.follow_ups = FollowUpScheduling::Inline;
        settings.relay.interval = Duration::from_millis(50);
    })
    .await;
    inline.clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
    assert_eq!(waiting(&service).await, 1);
    let _listening = receiver.listen_on(address).await;
    super::stage::all_delivered(&service).await;
    assert_eq!(receiver.calls().len(), 1);
    inline.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_delivery_that_hangs_delays_one_reply_briefly_and_the_next_ones_not_at_all() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let mut inline = replica(&service, listening.address, |settings| {
        settings.follow_ups = FollowUpScheduling::Inline;
        settings.relay.delivery_timeout = Duration::from_secs(30);
        settings.relay.relays = 0;
    })
    .await;
    let mut book = async |calls: usize| {
        let booking = fixtures::booking(&venue, 1);
        receiver.answer(&booking.conversation_id, Some(Answer::Hang));
        let mut request = Request::new(booking);
        // The client's deadline is shorter than the bound of a delivery.
        request.set_timeout(Duration::from_secs(1));
        let since = Instant::now();
        inline.clients.bookings.create_booking(request).await.expect("booked in time");
        assert_eq!(receiver.calls().len(), calls);
        since.elapsed()
    };
    assert!(book(1).await >= Duration::from_millis(300), "the reply waited for the delivery");
    // The next replies neither deliver nor wait. A busy machine may delay one or two.
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(book(1).await);
    }
    times.sort();
    assert!(times[2] < Duration::from_millis(300), "replies waited for the delivery: {times:?}");
    // The relays of other processes deliver these messages, with all their attempts.
    let left = "SELECT count(*) FROM outbox_messages WHERE attempts = 0 AND lease_expires_at IS NULL";
    assert_eq!(service.scalar::<i64>(left).await, 6);
    inline.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_delivery_that_hangs_does_not_hold_the_slot_queue() {
    let (service, venue) = quiet().await;
    // An inline delivery ends after a second, which a busy machine may need for the other booking, so only one of ten
    // tries must be faster.
    for _ in 0..10 {
        let receiver = Receiver::default();
        let listening = receiver.listen().await;
        let inline = replica(&service, listening.address, |settings| {
            settings.follow_ups = FollowUpScheduling::Inline;
            settings.relay.delivery_timeout = Duration::from_secs(30);
            settings.relay.relays = 0;
        })
        .await;
        let book = || {
            let (mut clients, booking) = (inline.clients.clone(), fixtures::booking(&venue, 1));
            let conversation_id = booking.conversation_id.clone();
            let call = async move { clients.bookings.create_booking(booking).await.expect("booked") };
            (conversation_id, call)
        };
        // As many calls as the slot queue admits at once.
        let ((first, one), (second, two), (_, third)) = (book(), book(), book());
        receiver.answer(&first, Some(Answer::Hang));
        receiver.answer(&second, Some(Answer::Hang));
        let hanging = async {
            tokio::select! { _ = one => {} _ = two => {} }
        };
        let other = async {
            harness::eventually("both hang", async || receiver.calls().len() == 2).await;
            third.await
        };
        let was_faster = tokio::select! { () = hanging => false, _ = other => true };
        inline.service.stop().await;
        if was_faster {
            return;
        }
    }
    panic!("a hanging delivery held the slot");
}
