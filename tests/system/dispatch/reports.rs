//! Senders report completions and failures.

use teppan_shared::contract::conversation::v1::{
    Channel, CompleteFollowUpRequest, FailFollowUpRequest, FollowUpFailureReason, FollowUpStatus,
    GetConversationRequest, ListMessagesRequest, Role,
};
use teppan_shared::wire::Timestamp;
use teppan_tests::{fixtures, harness};
use uuid::Uuid;

use super::fixture::*;

fn finished(status: &str) -> (String, String) {
    ("FOLLOW_UP_FINISHED".to_owned(), format!("FOLLOW_UP_STATUS_{status}"))
}

fn lost() -> (String, String) {
    ("LEASE_LOST".to_owned(), String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_follow_up_is_stored_as_a_message_of_the_assistant() {
    let mut service = start().await;
    let chat = fixtures::conversation_id();
    let new = Scheduled { user_id: Some("mina".to_owned()), channel: "SMS", ..custom(&chat, "How was it?") };
    schedule(&service, std::slice::from_ref(&new)).await;
    let request = completion(&claim_one(&service.follow_ups).await);
    let first = service.follow_ups.complete_follow_up(request.clone()).await.expect("completed").into_inner();
    let (follow_up, message) = (first.follow_up.expect("the follow-up"), first.message.expect("the message"));
    assert_eq!(follow_up.status(), FollowUpStatus::Completed);
    assert_eq!(
        (&follow_up.message_id, &message.message_id),
        (&new.message_id.to_string(), &new.message_id.to_string())
    );
    assert_eq!((message.role(), message.channel(), message.sequence), (Role::Assistant, Channel::Sms, 1));
    assert_eq!(message.content, "How was it?");

    let again = service.follow_ups.complete_follow_up(request).await.expect("completed").into_inner();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.message.as_ref(), Some(&message));
    let listed = ListMessagesRequest { conversation_id: chat.clone(), ..Default::default() };
    assert_eq!(service.client.list_messages(listed).await.expect("listed").into_inner().messages, [message]);
    let read = service.client.get_conversation(GetConversationRequest { conversation_id: chat }).await.expect("read");
    assert_eq!(read.into_inner().conversation.expect("the conversation").user_id, "mina");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_sent_with_another_text_is_stored_as_it_was_sent() {
    let mut service = start().await;
    let chat = fixtures::conversation_id();
    schedule(&service, &[due(&chat), due(&chat)]).await;
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE ready_at IS NOT NULL").await;
    let claimed = claim(&service.follow_ups, at_once()).await;
    let own_id = Uuid::new_v4().to_string();
    // The first report has the claimed text under the sender's own id, the second the sender's own text.
    let first = CompleteFollowUpRequest { message_id: own_id.clone(), ..completion(&claimed[0]) };
    let second = CompleteFollowUpRequest {
        content: "In my own words.".to_owned(),
        channel: Channel::Whatsapp.into(),
        sent_at: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        ..completion(&claimed[1])
    };
    for replayed in [false, true] {
        let stored = service.follow_ups.complete_follow_up(first.clone()).await.expect("completed").into_inner();
        let message = stored.message.expect("the message");
        assert_eq!((stored.replayed, &message.message_id), (replayed, &own_id));
        assert_eq!(message.content, claimed[0].follow_up.as_ref().expect("the follow-up").content);
        assert_eq!(stored.follow_up.expect("the follow-up").message_id, own_id);
        let stored = service.follow_ups.complete_follow_up(second.clone()).await.expect("completed").into_inner();
        let message = stored.message.expect("the message");
        assert_eq!((message.content.as_str(), message.channel()), ("In my own words.", Channel::Whatsapp));
        assert_eq!(message.sent_at.map(|at| at.seconds), Some(1_700_000_000));
    }
    let other = CompleteFollowUpRequest { message_id: Uuid::new_v4().to_string(), ..first };
    assert_eq!(reason(service.follow_ups.complete_follow_up(other).await), finished("COMPLETED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_completion_is_accepted_until_another_sender_claims_the_follow_up() {
    let mut service = start().await;
    let chat = fixtures::conversation_id();
    schedule(&service, &[due(&chat)]).await;
    let late = claim_one(&service.follow_ups).await;
    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now()").await;
    let other = claim_one(&service.follow_ups).await;
    assert_eq!(reason(service.follow_ups.complete_follow_up(completion(&late)).await), lost());
    assert_eq!(reason(service.follow_ups.fail_follow_up(failure(&late)).await), lost());

    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now(), max_attempts = 9").await;
    until(&service, "SELECT status = 'PENDING' FROM follow_ups").await;
    service.follow_ups.complete_follow_up(completion(&other)).await.expect("no other call has claimed it");
    let replayed = service
        .follow_ups
        .complete_follow_up(completion(&late))
        .await
        .expect("the message is the same, so it is a repetition");
    assert!(replayed.into_inner().replayed);
    assert_eq!(reason(service.follow_ups.fail_follow_up(failure(&other)).await), finished("COMPLETED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_follow_up_is_still_completed_by_its_last_claimant() {
    let mut service = start().await;
    schedule(&service, &[due(&fixtures::conversation_id())]).await;
    let claimed = claim_one(&service.follow_ups).await;
    harness::execute(
        &service.url,
        "UPDATE follow_ups SET lease_expires_at = now(), due_at = due_at - interval '80 hours'",
    )
    .await;
    until(&service, "SELECT status = 'MISSED' FROM follow_ups").await;
    assert_eq!(reason(service.follow_ups.fail_follow_up(failure(&claimed)).await), finished("MISSED"));
    let other = CompleteFollowUpRequest {
        claim_token: format!("{}{}", "0".repeat(64), &claimed.claim_token[64..]),
        ..completion(&claimed)
    };
    assert_eq!(reason(service.follow_ups.complete_follow_up(other).await), finished("MISSED"));
    for replayed in [false, true] {
        let answer =
            service.follow_ups.complete_follow_up(completion(&claimed)).await.expect("it was sent").into_inner();
        assert_eq!(answer.replayed, replayed);
        assert_eq!(answer.follow_up.expect("the follow-up").status(), FollowUpStatus::Completed);
    }
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM messages").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_was_reported_is_final() {
    let mut service = start().await;
    schedule(&service, &[due(&fixtures::conversation_id())]).await;
    let claimed = claim_one(&service.follow_ups).await;
    let never = FailFollowUpRequest { permanent: true, ..failure(&claimed) };
    service.follow_ups.fail_follow_up(never).await.expect("failed");
    assert_eq!(reason(service.follow_ups.complete_follow_up(completion(&claimed)).await), finished("FAILED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_follow_up_is_retried_until_its_attempts_are_used_up() {
    let mut service = start().await;
    schedule(&service, &[Scheduled { max_attempts: 3, ..due(&fixtures::conversation_id()) }]).await;
    for attempt in 1..=3 {
        let claimed = claim_one(&service.follow_ups).await;
        let failed = service.follow_ups.fail_follow_up(failure(&claimed)).await.expect("failed").into_inner();
        let failed = failed.follow_up.expect("the follow-up");
        assert_eq!(
            (failed.attempts, failed.last_failure_reason()),
            (attempt, FollowUpFailureReason::ChannelUnreachable)
        );
        assert_eq!(failed.status() == FollowUpStatus::Failed, attempt == 3);
        assert_eq!(failed.next_attempt_at.is_some(), attempt < 3);
        // A second report changes nothing, even if it differs.
        let again =
            FailFollowUpRequest { permanent: true, reason: FollowUpFailureReason::Other.into(), ..failure(&claimed) };
        let again = service.follow_ups.fail_follow_up(again).await.expect("known").into_inner();
        assert_eq!(again.follow_up, Some(failed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_chooses_the_pause_or_fails_for_good() {
    let mut service = start().await;
    let chat = fixtures::conversation_id();
    schedule(&service, &[due(&chat)]).await;
    let claimed = claim_one(&service.follow_ups).await;
    let later = FailFollowUpRequest { retry_after_seconds: Some(3600), ..failure(&claimed) };
    service.follow_ups.fail_follow_up(later).await.expect("failed");
    let hour = "SELECT next_attempt_at - updated_at = interval '1 hour' FROM follow_ups";
    assert!(service.scalar::<bool>(hour).await);

    // The sender can still report after its lease has expired.
    schedule(&service, &[due(&chat)]).await;
    let claimed = claim_one(&service.follow_ups).await;
    harness::execute(&service.url, "UPDATE follow_ups SET lease_expires_at = now() WHERE status = 'CLAIMED'").await;
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE status = 'PENDING'").await;
    let never = FailFollowUpRequest { permanent: true, ..failure(&claimed) };
    let failed = service.follow_ups.fail_follow_up(never).await.expect("failed").into_inner().follow_up;
    assert_eq!(failed.expect("the follow-up").status(), FollowUpStatus::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_reports_are_refused_with_the_field() {
    let mut service = start().await;
    let chat = fixtures::conversation_id();
    schedule(&service, &[Scheduled { channel: "", ..due(&chat) }]).await;
    let claimed = claim_one(&service.follow_ups).await;
    assert_eq!(claimed.channel(), Channel::Unspecified);
    let unknown = CompleteFollowUpRequest { follow_up_id: Uuid::new_v4().to_string(), ..completion(&claimed) };
    assert_eq!(reason(service.follow_ups.complete_follow_up(unknown).await).0, "FOLLOW_UP_NOT_FOUND");
    assert_eq!(reason(service.follow_ups.complete_follow_up(completion(&claimed)).await).0, "INVALID_FIELDS");
    assert_eq!(
        reason(service.follow_ups.complete_follow_up(CompleteFollowUpRequest::default()).await).0,
        "INVALID_FIELDS"
    );
    assert_eq!(reason(service.follow_ups.fail_follow_up(FailFollowUpRequest::default()).await).0, "INVALID_FIELDS");

    let message = fixtures::message(&chat, "Hello");
    service.client.store_message(message.clone()).await.expect("stored");
    let by_web = |id: &str| CompleteFollowUpRequest {
        channel: Channel::Web.into(),
        message_id: id.to_owned(),
        ..completion(&claimed)
    };
    let taken = CompleteFollowUpRequest { content: "Hi".to_owned(), ..by_web(&message.message_id) };
    assert_eq!(reason(service.follow_ups.complete_follow_up(taken).await).0, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(service.scalar::<i64>("SELECT message_count FROM conversations").await, 1, "nothing was written");
    service.follow_ups.complete_follow_up(by_web("")).await.expect("completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_a_follow_up_does_not_change_the_status_of_the_conversation() {
    let mut service = start().await;
    for (state, closed_at) in [("ESCALATED", "NULL"), ("CLOSED", "now()")] {
        let chat = fixtures::conversation_id();
        service.client.store_message(fixtures::message(&chat, "Hello")).await.expect("stored");
        schedule(&service, &[due(&chat)]).await;
        let claimed = claim_one(&service.follow_ups).await;
        let change = format!(
            "UPDATE conversations SET status = '{state}', closed_at = {closed_at} WHERE conversation_id = '{chat}'"
        );
        harness::execute(&service.url, sqlx::AssertSqlSafe(change)).await;
        let completed = service.follow_ups.complete_follow_up(completion(&claimed)).await.expect("completed");
        assert_eq!(completed.into_inner().message.expect("the message").sequence, 2);
        let status: String = sqlx::query_scalar("SELECT status FROM conversations WHERE conversation_id = $1")
            .bind(&chat)
            .fetch_one(&mut harness::connect(&service.url).await)
            .await
            .expect("read");
        assert_eq!(status, state);
        // The customer's next message reopens a closed conversation, but not an escalated one.
        service.client.store_message(fixtures::message(&chat, "Thanks")).await.expect("stored");
        let read =
            service.client.get_conversation(GetConversationRequest { conversation_id: chat }).await.expect("read");
        let read = read.into_inner().conversation.expect("the conversation");
        assert_eq!(read.status().as_str_name() == "CONVERSATION_STATUS_OPEN", state == "CLOSED");
    }
}
