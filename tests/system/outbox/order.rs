//! What is delivered, and in which order.

use teppan_tests::fixtures;

use super::{
    receiver::{Receiver, What},
    stage::{self, all_delivered, append, book, quiet, replica},
};

const CONVERSATION_SERVICE: &str = "conversation-service";

#[tokio::test(flavor = "multi_thread")]
async fn each_booking_is_told_of_in_order_by_any_number_of_relays() {
    const KINDS: [&str; 6] = ["rescheduled", "cancelled", "confirmed", "rescheduled", "no_show", "confirmed"];
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 30).await;
    let (first, second) = (
        replica(&service, listening.address, |settings| settings.relay.relays = 3).await,
        replica(&service, listening.address, |settings| settings.relay.relays = 3).await,
    );
    // More is written while it is delivered.
    for kind in KINDS {
        for booking in &made {
            append(&service, &booking.booking_id, kind, CONVERSATION_SERVICE).await;
        }
    }
    all_delivered(&service).await;
    let told = receiver.told();
    for booking in &made {
        let subject = format!("booking:{}", booking.booking_id);
        let keys: Vec<_> = told.iter().filter(|told| told.subject == subject).map(|told| told.key.clone()).collect();
        assert_eq!(keys, stage::events(&service, &booking.booking_id).await, "each event once, in order");
    }
    first.service.stop().await;
    second.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firm_booking_is_followed_up_moved_and_cancelled() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let replica = replica(&service, listening.address, |_| {}).await;
    // The one who books nudges the relay: it does not wait for its timer.
    let made = book(&replica, &venue, 1).await.remove(0);
    for kind in ["completed", "rescheduled", "cancelled"] {
        append(&service, &made.booking_id, kind, CONVERSATION_SERVICE).await;
    }
    all_delivered(&service).await;
    let told = receiver.told();
    let ends_at = made.ends_at.expect("the end").seconds;
    let schedule = |moves| What::Schedule {
        ends_at: chrono::DateTime::from_timestamp(ends_at, 0).expect("a time"),
        time_zone: "Europe/Berlin".to_owned(),
        moves,
    };
    let what: Vec<_> = told.iter().map(|told| told.what.clone()).collect();
    assert_eq!(what, [schedule(false), schedule(true), What::Cancel], "nothing follows from a completed booking");
    assert!(told.iter().all(|told| told.conversation_id == made.conversation_id));
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_to_tell_of_a_booking_without_a_conversation_or_without_its_deposit() {
    let (mut service, venue) = quiet().await;
    let mut silent = fixtures::booking(&venue, 1);
    silent.conversation_id.clear();
    service.clients.bookings.create_booking(silent).await.expect("booked");
    let pending = fixtures::venue(&mut service.clients, 10).await.expect("a venue").venue_id;
    service.clients.bookings.create_booking(fixtures::booking(&pending, 1)).await.expect("booked");
    assert_eq!(stage::waiting(&service).await, 0);
    book(&service, &venue, 1).await;
    assert_eq!(stage::waiting(&service).await, 1, "the event stream has readers, and without NATS no publisher");
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
    let told = receiver.told().remove(0).traceparent;
    assert!(told.contains(TRACE_ID), "{told}");
    assert_ne!(told, kept, "the delivery is a span of its own");
    replica.service.stop().await;
}
