//! FOLLOW_UP_SCHEDULING=inline.

use std::time::Duration;

use booking_service::settings::FollowUpScheduling;
use teppan_tests::fixtures;

use super::{
    receiver::Receiver,
    stage::{quiet, replica, waiting},
};

#[tokio::test(flavor = "multi_thread")]
async fn inline_the_follow_up_is_scheduled_with_the_reply() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let mut inline = replica(&service, listening.address, |settings| {
        settings.follow_ups = FollowUpScheduling::Inline;
        settings.relays = 0;
    })
    .await;
    for count in 1..=5 {
        inline.clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
        assert_eq!(receiver.told().len(), count);
        assert_eq!(waiting(&service).await, 0);
    }
    inline.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_a_receiver_that_is_away_fails_no_booking_and_the_relay_delivers_later() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let address = receiver.listen().await.leave().await;
    let mut inline = replica(&service, address, |settings| {
        settings.follow_ups = FollowUpScheduling::Inline;
        settings.interval = Duration::from_millis(50);
    })
    .await;
    inline.clients.bookings.create_booking(fixtures::booking(&venue, 1)).await.expect("booked");
    assert_eq!(waiting(&service).await, 1);
    let _listening = receiver.listen_on(address).await;
    super::stage::all_delivered(&service).await;
    assert_eq!(receiver.told().len(), 1);
    inline.service.stop().await;
}
