use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use teppan_tests::{
    clients, fixtures,
    harness::{self, Booking, Conversation},
    launch::{Process, Which},
    otlp::Receiver,
};

use crate::{environment, follow_ups};

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
    let venue = fixtures::firm_venue(&mut booking.clients, 10).await.expect("a venue");
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
async fn a_trace_leads_from_the_message_to_the_run_that_counts_it() {
    let receiver = Receiver::start().await;
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let environment: HashMap<_, _> = environment::with_keys(&url).chain(environment::traced(&receiver)).collect();
    let process = Process::start(Which::Conversation, &environment).await.expect("it starts");
    let mut client = clients::conversations(process.grpc);
    let message = fixtures::message(&fixtures::conversation_id(), "Hello");
    harness::eventually("the message is stored", async || client.store_message(traced(message.clone())).await.is_ok())
        .await;
    harness::eventually("both spans arrive", async || {
        let spans = receiver.spans();
        let stored = spans.iter().find(|it| it.span.name.ends_with("StoreMessage") && it.trace_id() == TRACE_ID);
        let counted = spans.iter().find(|it| it.span.name == "aggregate emotions" && it.is_linked_to(TRACE_ID));
        let (Some(stored), Some(counted)) = (stored, counted) else { return false };
        assert_eq!((stored.service.as_str(), stored.span.kind()), ("conversation-service", SpanKind::Server));
        counted.span.links.iter().any(|link| link.span_id == stored.span.span_id)
    })
    .await;
    assert!(process.stop().await);
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
