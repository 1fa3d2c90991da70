use futures::future::join_all;

use super::*;
use crate::dispatch::fixture::{at_once, claim, custom, replica, schedule, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_people_who_take_a_conversation_with_its_etag_one_gets_it() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    for round in 0..6 {
        let chat = begun(&first).await;
        // The row of the handoff is there, or every call wants to make it.
        let etag = if round % 2 == 0 { escalate(&first, &chat, "").await.etag } else { read(&first, &chat).await.etag };
        let names: Vec<_> = (0..16).map(|n| format!("agent-{n}")).collect();
        let taken = names.iter().enumerate().map(|(n, name)| {
            let service = if n % 2 == 0 { &first } else { &second };
            assign(service, &chat, person(name), &etag)
        });
        let mut winners = Vec::new();
        for result in join_all(taken).await {
            match result {
                Ok(conversation) => winners.push(conversation),
                Err(status) => assert_eq!(kind(&status), (Code::Aborted, "ETAG_MISMATCH".to_owned())),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(read(&second, &chat).await, winners[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handoffs_messages_and_claims_at_once_end_consistently() {
    let first = start().await;
    let second = replica(&first).await;
    for _ in 0..4 {
        let chats: Vec<_> = join_all((0..4).map(|_| begun(&first))).await;
        let follow_ups: Vec<_> = chats.iter().map(|chat| custom(chat, "How was your evening?")).collect();
        schedule(&first, &follow_ups).await;
        until(&first, "SELECT NOT EXISTS (SELECT FROM follow_ups WHERE ready_at IS NULL)").await;
        let acts = chats.iter().flat_map(|chat| (0..6).map(move |n| (chat, n))).map(|(chat, n)| {
            let service = if n % 2 == 0 { &first } else { &second };
            async move {
                match n {
                    0 => drop(escalate(service, chat, "").await),
                    1 => drop(assign(service, chat, person("agent-7"), "").await.expect("taken")),
                    2 => drop(assign(service, chat, ASSISTANT, "").await.expect("handed back")),
                    3 => drop(close(service, chat, "").await.expect("closed")),
                    4 => say(service, chat).await,
                    _ => drop(claim(&service.follow_ups, at_once()).await),
                }
            }
        });
        join_all(acts).await;
        let sound = "SELECT bool_and((status = 'ESCALATED') = (h.escalated_at IS NOT NULL)) FROM conversations AS c
                     LEFT JOIN conversation_handoffs AS h ON h.conversation_id = c.conversation_id";
        assert!(first.scalar::<bool>(sound).await);
        // Nothing is lost: what was not claimed can be claimed once no person holds it.
        for chat in &chats {
            assign(&first, chat, ASSISTANT, "").await.expect("handed back");
        }
        // A claim that was under way saw the handoff, and looks again after a minute.
        harness::execute(&first.url, "UPDATE follow_ups SET next_attempt_at = now() WHERE status = 'PENDING'").await;
        claim(&second.follow_ups, at_once()).await;
        assert_eq!(first.scalar::<i64>("SELECT count(*) FROM follow_ups WHERE status <> 'CLAIMED'").await, 0);
        harness::execute(&first.url, "DELETE FROM follow_ups").await;
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(first.scalar::<i64>(deadlocks).await, 0);
}
