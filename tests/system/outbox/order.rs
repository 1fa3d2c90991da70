//! The messages that are delivered, and their order.

use std::time::Duration;

use teppan_tests::fixtures;

use super::{
    receiver::{Receiver, What},
    stage::{self, all_delivered, append, book, quiet, replica},
};

const CONVERSATION_SERVICE: &str = "conversation-service";

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_relays_deliver_the_events_of_each_booking_in_order() {
    const KINDS: [&str; 6] = ["rescheduled", "cancelled", "confirmed", "rescheduled", "no_show", "confirmed"];
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 30).await;
    let (first, second) = (
        replica(&service, listening.address, |settings| settings.relay.relays = 3).await,
        replica(&service, listening.address, |settings| settings.relay.relays = 3).await,
    );
    // More events are written during the delivery.
    for kind in KINDS {
        for booking in &made {
            append(&service, &booking.booking_id, kind, CONVERSATION_SERVICE).await;
        }
    }
    all_delivered(&service).await;
    let calls = receiver.calls();
    for booking in &made {
        let subject = format!("booking:{}", booking.booking_id);
        let keys: Vec<_> = calls.iter().filter(|call| call.subject == subject).map(|call| call.key.clone()).collect();
        assert_eq!(keys, stage::events(&service, &booking.booking_id).await, "each event once and in order");
    }
    first.service.stop().await;
    second.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_of_one_booking_follow_each_other_without_the_timer() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 1).await.remove(0);
    for _ in 0..20 {
        append(&service, &made.booking_id, "rescheduled", CONVERSATION_SERVICE).await;
    }
    let interval = Duration::from_hours(1);
    let replica = replica(&service, listening.address, |settings| settings.relay.interval = interval).await;
    all_delivered(&service).await;
    let calls: Vec<_> = receiver.calls().into_iter().map(|call| call.key).collect();
    assert_eq!(calls, stage::events(&service, &made.booking_id).await);
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_are_scheduled_moved_and_cancelled_with_firm_bookings() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let replica = replica(&service, listening.address, |_| {}).await;
    // CreateBooking wakes the relay, which then does not wait for its timer.
    let made = book(&replica, &venue, 1).await.remove(0);
    for kind in ["completed", "rescheduled", "cancelled"] {
        append(&service, &made.booking_id, kind, CONVERSATION_SERVICE).await;
    }
    all_delivered(&service).await;
    let calls = receiver.calls();
    let ends_at = made.ends_at.expect("the end").seconds;
    let schedule = |moves| What::Schedule {
        ends_at: chrono::DateTime::from_timestamp(ends_at, 0).expect("a time"),
        time_zone: "Europe/Berlin".to_owned(),
        moves,
    };
    let what: Vec<_> = calls.iter().map(|call| call.what.clone()).collect();
    assert_eq!(what, [schedule(false), schedule(true), What::Cancel], "a completed booking causes no call");
    assert!(calls.iter().all(|call| call.conversation_id == made.conversation_id));
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_without_a_conversation_or_without_its_deposit_leaves_no_message() {
    let (mut service, venue) = quiet().await;
    let mut without_conversation = fixtures::booking(&venue, 1);
    without_conversation.conversation_id.clear();
    service.clients.bookings.create_booking(without_conversation).await.expect("booked");
    let pending = fixtures::venue(&mut service.clients, 10).await.expect("a venue").venue_id;
    service.clients.bookings.create_booking(fixtures::booking(&pending, 1)).await.expect("booked");
    assert_eq!(stage::waiting(&service).await, 0);
    book(&service, &venue, 1).await;
    assert_eq!(stage::waiting(&service).await, 1, "without NATS no message is written for the event stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_follow_up_belongs_to_the_trace_of_the_booking() {
    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (mut service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let mut request = tonic::Request::new(fixtures::booking(&venue, 1));
    let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("a header value"));
    service.clients.bookings.create_booking(request).await.expect("booked");
    let kept: String = service.scalar("SELECT traceparent FROM outbox_messages").await;
    let replica = replica(&service, listening.address, |_| {}).await;
    all_delivered(&service).await;
    let sent = receiver.calls().remove(0).traceparent;
    assert!(sent.contains(TRACE_ID), "{sent}");
    assert_ne!(sent, kept, "the delivery is a span of its own");
    replica.service.stop().await;
}
