//! Overlapping batches, duplicates, and lost answers.

use std::collections::BTreeMap;

use futures::future::join_all;
use rand::{Rng as _, seq::SliceRandom as _};
use teppan_shared::{contract::conversation::v1::StoreMessageRequest, keys::Keys};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
    proxy::Proxy,
};
use tonic::Code;
use uuid::Uuid;

use super::{batch, calling, list, outcomes, plain, read, store_many, tool_call};
use crate::lost_answers::with_lost_answer;

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_of_many_clients_store_every_message_once_without_gaps() {
    let first = Conversation::start().await.ready().await;
    let second = Conversation::over(first.url.clone(), first.keys.clone()).await.ready().await;
    let chat = fixtures::conversation_id();
    let pool: Vec<_> = (0..60)
        .map(|n| if n % 5 == 0 { calling(&chat, &format!("call-{n}")) } else { plain(&chat, &format!("message {n}")) })
        .collect();
    let clients = (0..24).map(|client| {
        let service = if client % 2 == 0 { &first } else { &second };
        let (pool, chat) = (&pool, &chat);
        async move {
            let mut answers = Vec::new();
            for round in 0..5 {
                let mut chosen = pool.clone();
                if round % 2 == 0 {
                    chosen.shuffle(&mut rand::rng());
                }
                chosen.truncate(rand::rng().random_range(1..=30));
                let results = store_many(service, chat, &chosen).await.expect("stored");
                answers.extend(results.into_iter().map(|result| result.message.expect("the message")));
            }
            answers
        }
    });
    let answers = join_all(clients).await.concat();
    store_many(&first, &chat, &pool).await.expect("the rest is stored");

    let listed = list(&second, &chat).await;
    assert_eq!(listed.iter().map(|message| message.sequence).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
    let by_id: BTreeMap<_, _> = listed.iter().map(|message| (&message.message_id, message)).collect();
    assert_eq!(by_id.len(), 60, "every message is stored once");
    assert!(answers.iter().all(|answer| by_id[&answer.message_id] == answer), "every answer is what is stored");
    assert_eq!(read(&first, &chat).await.message_count, 60);
    assert_eq!(first.scalar::<i64>("SELECT count(*) FROM tool_calls").await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_share_ids_across_conversations_do_not_deadlock() {
    let service = Conversation::start().await.ready().await;
    for _ in 0..8 {
        let ids: Vec<String> = (0..40).map(|_| Uuid::new_v4().to_string()).collect();
        let calls = (0..6).map(|_| {
            let chat = fixtures::conversation_id();
            let mut messages: Vec<_> =
                ids.iter().map(|id| StoreMessageRequest { message_id: id.clone(), ..plain(&chat, "Hello") }).collect();
            messages.shuffle(&mut rand::rng());
            let mut client = service.client.clone();
            async move { client.store_messages(batch(&chat, messages)).await }
        });
        let answers = join_all(calls).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let refusals = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(
            refusals.into_iter().all(|status| status.code() == Code::InvalidArgument),
            "none is a deadlock's victim"
        );
    }
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM conversations").await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_of_a_batch_store_it_once_and_get_equal_answers() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for round in 0..5_i64 {
        let messages: Vec<_> = (0..10).map(|n| plain(&chat, &format!("message {n}"))).collect();
        let calls = (0..12).map(|_| store_many(&service, &chat, &messages));
        let answers: Vec<_> = join_all(calls).await.into_iter().map(|answer| answer.expect("stored")).collect();
        assert_eq!(answers.iter().filter(|answer| answer.iter().all(|result| !result.replayed)).count(), 1);
        let sequences = |answer| outcomes(answer).into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>();
        let expected: Vec<_> = (1..=10).map(|n| round * 10 + n).collect();
        assert!(answers.iter().all(|answer| sequences(answer) == expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_first_answer_is_lost_is_stored_once_and_is_not_a_replay() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let proxy = Proxy::start(harness::database_address(&url)).await.expect("a proxy");
    let through = harness::through(&url, proxy.address);
    let service = Conversation::over(through, Keys::random()).await.ready().await;
    let chat = fixtures::conversation_id();
    let mut client = service.client.clone();
    let calls = StoreMessageRequest { parts: vec![tool_call("a"), tool_call("b")], ..calling(&chat, "") };
    let request = batch(&chat, vec![plain(&chat, "A table?"), calls]);
    let stored =
        with_lost_answer(&proxy, "-- StoreMessages:", client.store_messages(request.clone())).await.into_inner();
    assert_eq!(outcomes(&stored.results), [(1, false), (2, false)]);
    let again = client.store_messages(request).await.expect("replayed").into_inner();
    assert_eq!(outcomes(&again.results), [(1, true), (2, true)]);
}
