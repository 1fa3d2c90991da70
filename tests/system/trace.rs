use teppan_tests::{
    fixtures,
    harness::{Booking, Conversation},
};

use super::follow_ups;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traced<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().expect("a header value"));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_is_kept_with_the_booking_event_and_its_messages() {
    let mut booking = Booking::start().await.ready().await;
    let venue = fixtures::venue(&mut booking.clients, 10).await.expect("a venue");
    booking.clients.bookings.create_booking(traced(fixtures::booking(&venue.venue_id, 2))).await.expect("booked");
    for query in
        ["SELECT traceparent FROM booking_events", "SELECT string_agg(DISTINCT traceparent, ' ') FROM outbox_messages"]
    {
        let kept: String = booking.scalar(query).await;
        let parts: Vec<_> = kept.split('-').collect();
        assert_eq!((parts[0], parts[1], parts.len()), ("00", TRACE_ID, 4), "{query}: {kept}");
        assert_ne!(parts[2], "00f067aa0ba902b7", "the span is the service's own, a child of the caller's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_is_kept_with_the_message() {
    let mut conversation = Conversation::start().await.ready().await;
    let message = fixtures::message(&fixtures::conversation_id(), "Hello");
    conversation.client.store_message(traced(message)).await.expect("stored");
    let kept: String = conversation.scalar("SELECT traceparent FROM messages").await;
    assert!(kept.contains(TRACE_ID), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_is_kept_with_the_follow_up() {
    let mut conversation = Conversation::start().await.ready().await;
    let request = follow_ups::request(&fixtures::conversation_id());
    conversation.follow_ups.schedule_follow_up(request.clone()).await.expect("scheduled");
    let moving = follow_ups::moving(&request, "2030-02-01T12:00:00Z");
    conversation.follow_ups.schedule_follow_up(traced(moving)).await.expect("moved");
    let kept: String = conversation.scalar("SELECT traceparent FROM follow_ups").await;
    assert!(kept.contains(TRACE_ID), "of the call that moved it: {kept}");
}
