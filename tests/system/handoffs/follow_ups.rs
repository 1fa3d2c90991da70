//! No follow-up goes out while a person holds its conversation, and none is lost.

use chrono::{TimeDelta, Utc};

use super::*;
use crate::dispatch::fixture::{Scheduled, at_once, claim, custom, due, id_of, schedule, start, until, waiting};

const ALL_READY: &str = "SELECT NOT EXISTS (SELECT FROM follow_ups WHERE ready_at IS NULL)";

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_wait_for_the_end_of_a_handoff_and_then_go() {
    let service = start().await;
    for ends_by_closing in [false, true] {
        let chat = begun(&service).await;
        // Both were ready before.
        schedule(&service, &[due(&chat), custom(&chat, "How was your evening?")]).await;
        until(&service, ALL_READY).await;
        escalate(&service, &chat, "").await;
        assert!(claim(&service.follow_ups, at_once()).await.is_empty(), "also while it waits in the queue");
        assign(&service, &chat, person("agent-7"), "").await.expect("taken");
        assert!(claim(&service.follow_ups, at_once()).await.is_empty());
        let held = "SELECT count(*) = 2 FROM follow_ups WHERE status = 'PENDING' AND next_attempt_at > now()";
        assert!(service.scalar::<bool>(held).await, "they are looked at again later");

        let waiting = claim(&service.follow_ups, waiting());
        let release = async {
            if ends_by_closing {
                close(&service, &chat, "").await.expect("closed");
            } else {
                assign(&service, &chat, ASSISTANT, "").await.expect("handed back");
            }
        };
        let (claimed, ()) = tokio::join!(waiting, release);
        assert_eq!(claimed.len(), 2, "a waiting claim gets them at once");
        harness::execute(&service.url, "DELETE FROM follow_ups").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_falls_due_while_a_person_holds_the_conversation_is_chosen_and_sent_afterwards() {
    let service = start().await;
    let chat = begun(&service).await;
    escalate(&service, &chat, "agent-7").await;
    schedule(&service, &[due(&chat), custom(&chat, "How was your evening?")]).await;
    until(&service, "SELECT count(*) = 2 FROM follow_ups WHERE next_attempt_at > now()").await;
    assert!(claim(&service.follow_ups, at_once()).await.is_empty());
    assign(&service, &chat, ASSISTANT, "").await.expect("handed back");
    until(&service, ALL_READY).await;
    assert_eq!(claim(&service.follow_ups, at_once()).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_waited_for_a_person_is_not_missed_and_counts_as_overdue_from_then() {
    let service = start().await;
    let (held, open) = (begun(&service).await, begun(&service).await);
    escalate(&service, &held, "agent-7").await;
    let old = |chat: &str| Scheduled { due_at: Utc::now() - TimeDelta::hours(73), ..custom(chat, "Hello") };
    // More than one run looks at, and due before the other.
    let mut waiting: Vec<_> = (0..150).map(|_| old(&held)).collect();
    for follow_up in &mut waiting {
        follow_up.due_at -= TimeDelta::hours(1);
    }
    schedule(&service, &waiting).await;
    schedule(&service, &[old(&open)]).await;
    until(&service, "SELECT count(*) = 1 FROM follow_ups WHERE status = 'MISSED'").await;
    let kept =
        "SELECT count(*) = 150 FROM follow_ups WHERE status = 'PENDING' AND held_until > now() - interval '1 hour'";
    until(&service, kept).await;
    assign(&service, &held, ASSISTANT, "").await.expect("handed back");
    until(&service, "SELECT count(*) = 150 FROM follow_ups WHERE ready_at IS NOT NULL AND status = 'PENDING'").await;
    assert_eq!(claim(&service.follow_ups, at_once()).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_up_that_is_being_sent_is_not_taken_back_and_does_not_end_the_handoff() {
    let service = start().await;
    let chat = begun(&service).await;
    schedule(&service, &[custom(&chat, "How was your evening?")]).await;
    let claimed = claim(&service.follow_ups, waiting()).await;
    escalate(&service, &chat, "agent-7").await;
    let completion = crate::dispatch::fixture::completion(&claimed[0]);
    service.follow_ups.clone().complete_follow_up(completion).await.expect("it was sent");
    let after = read(&service, &chat).await;
    assert_eq!((held_by(&after), after.message_count), (person("agent-7"), 2));
    assert!(!id_of(&claimed[0]).is_empty());
}
