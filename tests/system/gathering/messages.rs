use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use teppan_shared::{
    contract::conversation::v1::{StoreMessageRequest, StoreMessageResponse},
    gather::GatherLimits,
};
use teppan_tests::{fixtures, harness, harness::Conversation, proxy::Proxy};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::FAR;

const ALONE: &str = "-- StoreMessage: ";
const FOR_MANY: &str = "-- StoreMessage for ";

async fn far_away() -> (Proxy, Conversation) {
    let (proxy, conversation) = Conversation::behind_a_proxy(|settings| {
        settings.gather = GatherLimits { calls: 32, statements: 2, statements_far: 2 };
    })
    .await;
    proxy.set_round_trip_time(FAR);
    (proxy, conversation)
}

async fn at_once(
    conversation: &Conversation,
    requests: &[StoreMessageRequest],
) -> Vec<Result<StoreMessageResponse, Status>> {
    let calls = requests.iter().cloned().map(|request| {
        let mut client = conversation.client.clone();
        async move { client.store_message(request).await.map(tonic::Response::into_inner) }
    });
    join_all(calls).await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_many_conversations_share_statements_and_sequences_have_no_gaps() {
    let (proxy, conversation) = far_away().await;
    let ids: Vec<_> = (0..7).map(|_| fixtures::conversation_id()).collect();
    let requests: Vec<_> = (0..100).map(|n| fixtures::message(&ids[n % 7], &format!("message {n}"))).collect();
    let answers = at_once(&conversation, &requests).await;
    let (alone, for_many) = (proxy.ran(ALONE), proxy.ran(FOR_MANY));
    assert!(alone + for_many < 15 && alone + 32 * for_many >= 100, "{alone} and {for_many}");

    let mut sequences: HashMap<String, HashSet<i64>> = HashMap::new();
    for (request, answer) in requests.iter().zip(answers) {
        let answer = answer.expect("it is stored");
        let message = answer.message.expect("it is set");
        assert_eq!((message.message_id, message.content), (request.message_id.clone(), request.content.clone()));
        assert!(!answer.replayed && sequences.entry(message.conversation_id).or_default().insert(message.sequence));
    }
    for (id, sequences) in sequences {
        let count = i64::try_from(sequences.len()).expect("few");
        assert_eq!(sequences, (1..=count).collect(), "{id}");
    }
    let counted =
        "SELECT count(*) FROM conversations c WHERE message_count = newest_scored_sequence AND message_count =
                   (SELECT count(*) FROM messages m WHERE m.conversation_id = c.conversation_id)";
    assert_eq!(harness::scalar::<i64>(&conversation.url, counted).await, 7);
    assert_eq!(harness::scalar::<i64>(&conversation.url, "SELECT count(*) FROM messages").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_statement_has_its_own_outcome() {
    let (proxy, conversation) = far_away().await;
    let id = fixtures::conversation_id();
    let stored = fixtures::message(&id, "stored before");
    at_once(&conversation, std::slice::from_ref(&stored)).await.remove(0).expect("it is stored");
    let reused = StoreMessageRequest { content: "another text".to_owned(), ..stored.clone() };
    let new = fixtures::message(&id, "new");
    let named = StoreMessageRequest { user_id: "user-1".to_owned(), ..fixtures::message(&id, "with a user") };
    let requests = [
        fixtures::message(&id, "first"),
        fixtures::message(&id, "second"),
        // From here on, they wait.
        new.clone(),
        stored,
        reused,
        named,
        new.clone(),
    ];
    let answers = at_once(&conversation, &requests).await;
    assert!(proxy.ran(FOR_MANY) >= 1);
    let replayed = |n: usize| answers[n].as_ref().expect("it is stored").replayed;
    assert!([0, 1, 5].into_iter().all(|n| !replayed(n)));
    assert!(replayed(3), "a replay");
    assert!(replayed(2) != replayed(6), "one of two with one id");
    let info = answers[4].as_ref().expect_err("refused").get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "IDEMPOTENCY_KEY_REUSED");
    let state = "SELECT message_count || ' ' || (user_hash IS NOT NULL)::text FROM conversations";
    assert_eq!(harness::scalar::<String>(&conversation.url, state).await, "5 true");
    assert_eq!(harness::scalar::<i64>(&conversation.url, "SELECT count(*) FROM reengagement_checks").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_whose_common_answer_is_lost_are_stored_once_and_answered_as_stored() {
    let (proxy, conversation) = far_away().await;
    let id = fixtures::conversation_id();
    proxy.lose_answer_to(FOR_MANY);
    let requests: Vec<_> = (0..20).map(|n| fixtures::message(&id, &format!("message {n}"))).collect();
    let answers = at_once(&conversation, &requests).await;
    assert_eq!(proxy.lost(), 1);
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| !answer.replayed)), "{answers:?}");
    assert_eq!(harness::scalar::<i64>(&conversation.url, "SELECT message_count FROM conversations").await, 20);
}
