//! The dispatch of due follow-ups: made ready, claimed, sent, missed.

mod answers;
mod claims;
mod clock;
pub mod consents;
pub mod fixture;
mod hours;
mod plan;
mod reengagement;
mod reports;
mod settings;
mod waiting;
mod withdrawals;

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::join_all;
use teppan_shared::contract::conversation::v1::ClaimDueFollowUpsRequest;
use teppan_tests::{fixtures, harness};

use self::fixture::{claim, completion, due, id_of, replica, schedule, start};

const FOLLOW_UPS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn eight_senders_on_two_replicas_send_500_follow_ups_once_each_while_messages_are_stored() {
    let first = start().await;
    let second = replica(&first).await;
    let chats: Vec<_> = (0..20).map(|_| fixtures::conversation_id()).collect();
    let follow_ups: Vec<_> = (0..FOLLOW_UPS).map(|n| due(&chats[n % chats.len()])).collect();
    schedule(&first, &follow_ups).await;

    let (done, held) = (AtomicUsize::new(0), Mutex::new(HashSet::new()));
    let senders = (0..8).map(|sender| {
        let client = if sender % 2 == 0 { &first.follow_ups } else { &second.follow_ups };
        let (done, held) = (&done, &held);
        async move {
            while done.load(Ordering::SeqCst) < FOLLOW_UPS {
                let request = ClaimDueFollowUpsRequest {
                    claimant: format!("sender-{sender}"),
                    wait_seconds: 1,
                    ..Default::default()
                };
                for claimed in claim(client, request).await {
                    assert!(held.lock().expect("not poisoned").insert(id_of(&claimed)), "claimed twice");
                    assert_eq!(claimed.follow_up.as_ref().map(|it| it.attempts), Some(1));
                    let completed = client.clone().complete_follow_up(completion(&claimed)).await.expect("completed");
                    assert!(!completed.into_inner().replayed);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    });
    let writers = chats.iter().map(|chat| {
        let mut client = second.client.clone();
        async move {
            for _ in 0..10 {
                client.store_message(fixtures::message(chat, "Hello")).await.expect("stored");
            }
        }
    });
    tokio::join!(join_all(senders), join_all(writers));

    assert_eq!(done.into_inner(), FOLLOW_UPS);
    let url = &first.url;
    let all = "SELECT count(*) FROM follow_ups f JOIN messages m USING (message_id)
               WHERE f.status = 'COMPLETED' AND m.role = 'ASSISTANT' AND m.conversation_id = f.conversation_id
                 AND m.content_sealed = f.content_sealed";
    assert_eq!(harness::scalar::<i64>(url, all).await, 500);
    let dense = "SELECT bool_and(newest = n AND message_count = n) AND count(*) = 20 FROM (
                     SELECT max(sequence) AS newest, count(*) AS n, max(c.message_count) AS message_count
                     FROM messages JOIN conversations c USING (conversation_id) GROUP BY conversation_id) AS chats";
    assert!(harness::scalar::<bool>(url, dense).await);
    assert_eq!(harness::scalar::<i64>(url, "SELECT count(*) FROM messages").await, 700);
}
