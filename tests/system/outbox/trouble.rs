//! Receivers that are unavailable, refuse or hang.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use teppan_shared::{
    contract::booking::v1::{Booking, GetOutboxStatusRequest, OutboxDestination},
    status::Failure,
};
use teppan_tests::harness;
use tonic::Status;

use super::{
    receiver::{Answer, Receiver},
    stage::{self, all_delivered, append, book, dead, quiet, replica, waiting},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_delivered_after_the_receiver_was_unavailable() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let address = receiver.listen().await.leave().await;
    let replica = replica(&service, address, |settings| settings.relay.attempts_max = 2).await;
    let made = book(&replica, &venue, 1000).await;
    assert_eq!(waiting(&service).await, 1000);
    harness::eventually("both messages were tried", async || {
        replica.scalar::<i64>("SELECT count(*) FROM outbox_messages WHERE last_error_reason = 'UNAVAILABLE'").await > 1
    })
    .await;
    let attempts = "SELECT max(attempts) FROM outbox_messages WHERE lease_expires_at IS NULL";
    assert_eq!(service.scalar::<i32>(attempts).await, 0, "no attempt is counted");

    let _listening = receiver.listen_on(address).await;
    // The pause after many failures may last half a minute.
    harness::within(Duration::from_secs(45), "all arrive", async || waiting(&service).await == 0).await;
    let keys: HashSet<_> = receiver.calls().into_iter().map(|call| call.key).collect();
    assert_eq!((keys.len(), made.len(), dead(&service).await), (1000, 1000, 0));
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_becomes_a_dead_letter_and_delays_no_other_booking() {
    let (mut service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 20).await;
    let poison = &made[7];
    append(&service, &poison.booking_id, "cancelled", "conversation-service").await;
    receiver.answer(&poison.conversation_id, Some(Answer::Refuse(Status::invalid_argument("made to fail"))));
    let replica = replica(&service, listening.address, |_| {}).await;
    // Only later messages of the same booking wait behind it.
    harness::eventually("the other messages are delivered", async || waiting(&service).await == 1).await;
    assert_eq!(dead(&service).await, 1);
    let calls = receiver.conversations();
    assert_eq!(
        calls.iter().filter(|it| **it == poison.conversation_id).count(),
        1,
        "the refused message is not tried again"
    );
    assert!(made.iter().all(|booking| calls.contains(&booking.conversation_id)));

    let status = service.clients.outbox.get_outbox_status(GetOutboxStatusRequest {}).await.expect("read").into_inner();
    assert_eq!(status.destinations.len(), 1, "{status:?}");
    let status = &status.destinations[0];
    assert_eq!(status.destination(), OutboxDestination::ConversationService);
    assert_eq!((status.pending_count, status.leased_count, status.dead_letter_count), (1, 0, 1));
    assert!(status.oldest_pending_at.is_some() && status.last_delivered_at.is_some(), "{status:?}");
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_fails_is_tried_again_until_its_attempts_are_used_up() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 2).await;
    for booking in &made {
        receiver.answer(&booking.conversation_id, Some(Answer::Refuse(Status::internal("made to fail"))));
    }
    let replica = replica(&service, listening.address, |settings| settings.relay.attempts_max = 2).await;
    harness::eventually("both were tried", async || receiver.calls().len() >= 2).await;
    receiver.answer(&made[0].conversation_id, None);
    harness::eventually("one is delivered, one is dead", async || {
        waiting(&service).await == 0 && dead(&service).await == 1
    })
    .await;
    let left = service.scalar::<String>("SELECT attempts || ' ' || last_error_reason FROM outbox_messages").await;
    assert_eq!(left, "2 INTERNAL");
    let again: HashSet<_> = receiver.calls().into_iter().map(|call| call.key).collect();
    assert_eq!((receiver.calls().len(), again.len()), (4, 2), "each attempt has the same event id");
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_message_delays_no_other_booking() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 100).await;
    receiver.answer(&made[0].conversation_id, Some(Answer::Hang));
    let timeout = Duration::from_mins(1);
    let replica = replica(&service, listening.address, |settings| {
        settings.relay.delivery_timeout = timeout;
        settings.relay.relays = 1;
    })
    .await;
    // Long before the hanging delivery times out.
    harness::eventually("the others are delivered", async || waiting(&service).await == 1).await;
    book(&replica, &venue, 10).await;
    harness::eventually("later messages are delivered too", async || waiting(&service).await == 1).await;
    assert_eq!(dead(&service).await, 0);
    // A stop does not wait for the delivery and ends its lease, so the next process need not wait for it.
    let since = Instant::now();
    replica.service.stop().await;
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    let left: String = service
        .scalar("SELECT concat_ws(' ', attempts, last_error_reason, lease_expires_at) FROM outbox_messages")
        .await;
    assert_eq!(left, "0 DRAINING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_hangs_while_others_are_answered_uses_up_its_attempts() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 1).await;
    receiver.answer(&made[0].conversation_id, Some(Answer::Hang));
    let replica = replica(&service, listening.address, |settings| {
        settings.relay.delivery_timeout = Duration::from_millis(500);
        settings.relay.attempts_max = 2;
    })
    .await;
    harness::within(Duration::from_secs(30), "the message is a dead letter", async || {
        book(&replica, &venue, 1).await;
        dead(&service).await == 1
    })
    .await;
    let letter =
        "SELECT concat_ws(' ', event_id, attempts, last_error_reason) FROM outbox_messages WHERE dead_at IS NOT NULL";
    let event = stage::events(&service, &made[0].booking_id).await.remove(0);
    assert_eq!(service.scalar::<String>(letter).await, format!("{event} 2 DEADLINE_EXCEEDED"));
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_needs_no_call_is_no_evidence_that_the_receiver_answers() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let hanging = book(&service, &venue, 1).await.remove(0);
    receiver.answer(&hanging.conversation_id, Some(Answer::Hang));
    let others = book(&service, &venue, 20).await;
    // A completed visit needs no call: its message is settled without one.
    let made_first = format!("DELETE FROM outbox_messages WHERE aggregate_id <> '{}'", hanging.booking_id);
    harness::execute(&service.url, sqlx::AssertSqlSafe(made_first)).await;
    for booking in &others {
        append(&service, &booking.booking_id, "completed", "conversation-service").await;
    }
    let replica = replica(&service, listening.address, |settings| {
        settings.relay.delivery_timeout = Duration::from_secs(1);
        settings.relay.attempts_max = 1;
    })
    .await;
    harness::eventually("all but the hanging one are settled", async || waiting(&service).await == 1).await;
    let left = "SELECT concat_ws(' ', attempts, last_error_reason) FROM outbox_messages WHERE lease_expires_at IS NULL";
    harness::eventually("the receiver is blamed, not the message", async || {
        let mut connection = harness::connect(&service.url).await;
        let left: Option<String> = sqlx::query_scalar(left).fetch_optional(&mut connection).await.expect("read");
        left.as_deref() == Some("0 DEADLINE_EXCEEDED")
    })
    .await;
    assert_eq!(dead(&service).await, 0);
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_messages_outlive_a_receiver_that_times_out() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 3).await;
    // DEADLINE_EXCEEDED from the receiver is a timeout too.
    let says_so = Answer::Refuse(Status::deadline_exceeded("made to fail"));
    for (booking, answer) in made.iter().zip([Answer::Hang, says_so, Answer::Hang]) {
        receiver.answer(&booking.conversation_id, Some(answer));
    }
    let replica = replica(&service, listening.address, |settings| {
        // A high rate, so that a busy machine delivers everything it claims.
        settings.relay.delivery_timeout = Duration::from_secs(1);
        // A timeout counts as an attempt when other messages are answered meanwhile, until all are answered again.
        settings.relay.attempts_max = 2;
    })
    .await;
    let tries =
        |booking: &Booking| receiver.conversations().iter().filter(|it| **it == booking.conversation_id).count();
    harness::within(Duration::from_mins(1), "each message was tried many times", async || {
        made.iter().all(|booking| tries(booking) >= 4)
    })
    .await;
    assert_eq!((dead(&service).await, waiting(&service).await), (0, 3));
    for booking in &made {
        receiver.answer(&booking.conversation_id, None);
    }
    harness::within(Duration::from_mins(1), "all arrive", async || waiting(&service).await == 0).await;
    assert_eq!(dead(&service).await, 0);
    replica.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_while_its_follow_up_is_being_sent() {
    let (service, venue) = quiet().await;
    let receiver = Receiver::default();
    let listening = receiver.listen().await;
    let made = book(&service, &venue, 10).await;
    let claimed = Status::from(Failure::precondition("FOLLOW_UP_CLAIMED", "follow_up", "made to fail"));
    receiver.answer(&made[0].conversation_id, Some(Answer::Refuse(claimed)));
    let replica = replica(&service, listening.address, |settings| settings.relay.attempts_max = 1).await;
    harness::eventually("the others are delivered", async || waiting(&service).await == 1).await;
    let left = "SELECT concat_ws(' ', attempts, last_error_reason, next_attempt_at > now() + interval '50 seconds')
                FROM outbox_messages";
    harness::eventually("the message waits, and no attempt is counted", async || {
        service.scalar::<String>(left).await == "0 FOLLOW_UP_CLAIMED t"
    })
    .await;
    receiver.answer(&made[0].conversation_id, None);
    harness::execute(&service.url, "UPDATE outbox_messages SET next_attempt_at = now()").await;
    all_delivered(&service).await;
    assert_eq!((receiver.calls().len(), dead(&service).await), (11, 0));
    replica.service.stop().await;
}
