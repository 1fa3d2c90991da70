//! Consents reach conversation-service, and go with their customer.

use sqlx::AssertSqlSafe;
use teppan_shared::contract::{
    booking::v1::{ConsentChannel, ConsentPurpose, CreateBookingRequest},
    conversation::v1::ScheduleFollowUpRequest,
};
use teppan_tests::{
    fixtures,
    harness::{self, Booking, Conversation, eventually},
};
use uuid::Uuid;

use super::{
    book_by,
    consents::{consent, set},
    contact,
    erasure::{book_in, booking_beside, both_services, cancel, erase},
    request_by, service_with_venue,
};
use crate::{dispatch, follow_ups, verify};

/// The status of each follow-up of a customer, by its conversation: `PENDING`, or the reason of its cancellation.
pub async fn follow_ups_of(service: &Conversation, customer_id: &str) -> Vec<(String, String)> {
    let query = format!(
        "SELECT conversation_id, COALESCE(cancellation_reason, status) FROM follow_ups
         WHERE customer_id = '{customer_id}' ORDER BY created_at, conversation_id"
    );
    let mut connection = harness::connect(&service.url).await;
    sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut connection).await.expect("answered")
}

pub async fn delivered(service: &Booking) {
    let left = "SELECT count(*) FROM outbox_messages WHERE destination = 'conversation-service'";
    eventually("everything is delivered", async || service.scalar::<i64>(left).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_cancels_the_follow_ups_of_bookings_and_later_ones_are_not_sent() {
    let conversation = dispatch::fixture::start().await;
    let service = booking_beside(&conversation).await;
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let clients = &service.clients;
    let (mine, others) = (fixtures::conversation_id(), fixtures::conversation_id());
    let booking = book_in(clients, &venue, "ada@example.org", &mine).await;
    let other = book_in(clients, &venue, "bob@example.org", &others).await;
    delivered(&service).await;
    let pending = |chat: &str| vec![(chat.to_owned(), "PENDING".to_owned())];
    assert_eq!(follow_ups_of(&conversation, &booking.customer_id).await, pending(&mine));

    let withdraw = consent(&booking.customer_id, ConsentPurpose::Transactional, ConsentChannel::Unspecified, false);
    set(clients, withdraw).await.expect("recorded");
    let missing = vec![(mine.clone(), "CONSENT_MISSING".to_owned())];
    eventually("the follow-up is cancelled", async || {
        follow_ups_of(&conversation, &booking.customer_id).await == missing
    })
    .await;
    assert_eq!(follow_ups_of(&conversation, &other.customer_id).await, pending(&others));

    // A consent to analytics concerns no messages, so conversation-service does not get it.
    set(clients, consent(&booking.customer_id, ConsentPurpose::Analytics, ConsentChannel::Unspecified, true))
        .await
        .expect("recorded");
    delivered(&service).await;
    let known = "SELECT string_agg(concat_ws(' ', purpose, channel, granted, version), ',') FROM customer_consents";
    assert_eq!(conversation.scalar::<String>(known).await, "TRANSACTIONAL  f 2");

    // A follow-up that is scheduled afterwards is not sent: the consent decides when it is due.
    book_in(clients, &venue, "ada@example.org", &fixtures::conversation_id()).await;
    delivered(&service).await;
    let due = "UPDATE follow_ups SET due_at = now(), next_attempt_at = now()
               WHERE status = 'PENDING' AND customer_id IN (SELECT customer_id FROM customer_consents)";
    harness::execute(&conversation.url, due).await;
    eventually("both are cancelled", async || {
        follow_ups_of(&conversation, &booking.customer_id)
            .await
            .iter()
            .filter(|(_, it)| it == "CONSENT_MISSING")
            .count()
            == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_schedules_a_follow_up_names_its_customer() {
    let (service, conversation) = both_services().await;
    let mut clients = service.clients.clone();
    let venue = fixtures::venue(&mut clients, 100).await.expect("a venue");
    let request = CreateBookingRequest {
        conversation_id: fixtures::conversation_id(),
        ..request_by(&venue, contact("Ada", "ada@example.org", ""))
    };
    let made = clients.bookings.create_booking(request).await.expect("booked").into_inner().booking.expect("it");
    let confirm = teppan_shared::contract::booking::v1::ConfirmBookingRequest {
        booking_id: made.booking_id.clone(),
        ..Default::default()
    };
    clients.bookings.confirm_booking(confirm).await.expect("confirmed");
    delivered(&service).await;
    assert_eq!(follow_ups_of(&conversation, &made.customer_id).await.len(), 1, "by the confirmation");
    harness::execute(&conversation.url, "DELETE FROM idempotency_keys; DELETE FROM follow_ups").await;
    let move_it = teppan_shared::contract::booking::v1::RescheduleBookingRequest {
        booking_id: made.booking_id.clone(),
        party_size: Some(3),
        ..Default::default()
    };
    clients.bookings.reschedule_booking(move_it).await.expect("moved");
    delivered(&service).await;
    assert_eq!(follow_ups_of(&conversation, &made.customer_id).await.len(), 1, "by the rescheduling");
    verify::assert_derivable(&service.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_removes_the_consents_and_the_follow_ups_also_in_conversations_that_stay() {
    let (service, conversation) = both_services().await;
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let clients = &service.clients;
    let shared = fixtures::conversation_id();
    let mine = book_in(clients, &venue, "ada@example.org", &shared).await;
    let other = book_in(clients, &venue, "bob@example.org", &shared).await;
    for booking in [&mine, &other] {
        set(clients, consent(&booking.customer_id, ConsentPurpose::Marketing, ConsentChannel::Sms, true))
            .await
            .expect("recorded");
    }
    // An orchestrator has scheduled one more.
    let offer = ScheduleFollowUpRequest {
        customer_id: mine.customer_id.clone(),
        subject: "weekly_offer".to_owned(),
        ..follow_ups::request(&shared)
    };
    follow_ups::schedule(&conversation, offer).await;
    cancel(clients, &mine).await;
    delivered(&service).await;
    assert_eq!(follow_ups_of(&conversation, &mine.customer_id).await.len(), 2);

    assert!(erase(clients, &mine.customer_id).await.expect("erased").conversation_ids.is_empty());
    delivered(&service).await;
    assert!(follow_ups_of(&conversation, &mine.customer_id).await.is_empty());
    assert_eq!(follow_ups_of(&conversation, &other.customer_id).await.len(), 1);
    let consents = "SELECT string_agg(customer_id::text, ',') FROM customer_consents";
    assert_eq!(conversation.scalar::<String>(consents).await, other.customer_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_does_not_wait_for_consents_that_cannot_be_delivered() {
    let (service, venue) = service_with_venue().await;
    let clients = &service.clients;
    let booking = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await;
    set(clients, consent(&booking.customer_id, ConsentPurpose::Marketing, ConsentChannel::Sms, true))
        .await
        .expect("recorded");
    cancel(clients, &booking).await;
    harness::execute(
        &service.url,
        "UPDATE outbox_messages SET dead_at = now(), dead_letter_id = gen_random_uuid(), attempts = 1, claims = 1",
    )
    .await;
    erase(clients, &booking.customer_id).await.expect("erased");
    let kept = "SELECT array_agg(aggregate_id || ' ' || version ORDER BY aggregate_id) FROM outbox_messages
                WHERE destination = 'conversation-service'";
    let id = &booking.customer_id;
    let expected = [format!("{id} 3"), format!("{id}/{} 3", booking.conversation_id)];
    assert_eq!(service.scalar::<Vec<String>>(kept).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_is_delivered_twice_or_late_changes_nothing() {
    let (service, conversation) = both_services().await;
    let venue = fixtures::firm_venue(&mut service.clients.clone(), 100).await.expect("a venue");
    let clients = &service.clients;
    let id = book_by(clients, &venue, contact("Ada", "ada@example.org", "")).await.customer_id;
    for granted in [true, false, true] {
        set(clients, consent(&id, ConsentPurpose::Marketing, ConsentChannel::Email, granted)).await.expect("recorded");
    }
    delivered(&service).await;
    let again =
        "INSERT INTO outbox_messages (event_id, destination, aggregate_id, version, created_at, next_attempt_at)
                 SELECT event_id, 'conversation-service', customer_id, version, now(), now() FROM customer_events";
    harness::execute(&service.url, again).await;
    delivered(&service).await;
    let known = "SELECT granted AND version = 4 FROM customer_consents";
    assert!(conversation.scalar::<bool>(known).await);
    let customer = Uuid::parse_str(&id).expect("a UUID");
    let request = dispatch::consents::consent(
        customer,
        teppan_shared::contract::conversation::v1::FollowUpPurpose::Marketing,
        teppan_shared::contract::conversation::v1::Channel::Email,
        false,
        3,
    );
    assert!(!dispatch::consents::record(&conversation, request).await.recorded);
}
