use teppan_shared::contract::conversation::v1::{
    Channel, ConversationOrder, ConversationStatus, EmotionLevel, ListConversationsRequest,
};

use super::*;
use crate::follow_ups::at as time;

/// The ids of all pages, and the number of pages.
async fn listed(service: &Conversation, mut request: ListConversationsRequest) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = service.client.clone().list_conversations(request.clone()).await.expect("listed").into_inner();
        ids.extend(page.conversations.into_iter().map(|conversation| conversation.conversation_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

fn longest_waiting() -> ListConversationsRequest {
    let order = ConversationOrder::LongestWaitingFirst.into();
    ListConversationsRequest { page_size: 2, order, ..Default::default() }
}

/// `chat-0` to `chat-9`, begun in this order. 0 is open, 1 is closed; the others are escalated, in the reverse order:
/// even ones wait in the queue, 3 and 7 are with agent-3, 5 and 9 with agent-5.
async fn ten_conversations(service: &Conversation) -> Vec<String> {
    for n in 0..10 {
        let message = StoreMessageRequest {
            channel: if n % 3 == 0 { Channel::Sms } else { Channel::Web }.into(),
            user_id: if n < 5 { "mina" } else { "kenji" }.to_owned(),
            emotion: None,
            ..fixtures::message(&format!("chat-{n}"), "Hello")
        };
        service.client.clone().store_message(message).await.expect("stored");
    }
    close(service, "chat-1", "").await.expect("closed");
    for n in (2..10).rev() {
        let agent = match n {
            3 | 7 => "agent-3",
            5 | 9 => "agent-5",
            _ => "",
        };
        let request = EscalateConversationRequest {
            conversation_id: format!("chat-{n}"),
            reason: if n < 4 { EscalationReason::LowEmotion } else { EscalationReason::Other }.into(),
            assignee: agent.to_owned(),
            etag: String::new(),
        };
        service.client.clone().escalate_conversation(request).await.expect("escalated");
    }
    (0..10).map(|n| format!("chat-{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_listed_by_holder_reason_customer_and_channel_in_both_orders_page_by_page() {
    use ConversationHolder::{Assistant, Person, Queue, Unspecified};

    let service = Conversation::start().await.ready().await;
    let chats = ten_conversations(&service).await;
    let all = ListConversationsRequest { page_size: 2, ..Default::default() };
    let by = |holder: ConversationHolder, assignee: &str| ListConversationsRequest {
        holder: holder.into(),
        assignee: assignee.to_owned(),
        ..all.clone()
    };
    let reason =
        |reason: EscalationReason| ListConversationsRequest { escalation_reason: reason.into(), ..all.clone() };
    let status = |status: ConversationStatus| ListConversationsRequest { status: status.into(), ..all.clone() };
    // Each with the numbers of the conversations, the newest first.
    for (request, expected) in [
        (all.clone(), vec![9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (by(Assistant, ""), vec![1, 0]),
        (by(Queue, ""), vec![8, 6, 4, 2]),
        (by(Person, ""), vec![9, 7, 5, 3]),
        (by(Person, "agent-3"), vec![7, 3]),
        (by(Unspecified, "agent-5"), vec![9, 5]),
        (by(Unspecified, "agent-9"), vec![]),
        (reason(EscalationReason::LowEmotion), vec![3, 2]),
        (ListConversationsRequest { user_id: "mina".to_owned(), ..by(Queue, "") }, vec![4, 2]),
        (ListConversationsRequest { channel: Channel::Sms.into(), ..by(Person, "") }, vec![9, 3]),
        (status(ConversationStatus::Escalated), vec![9, 8, 7, 6, 5, 4, 3, 2]),
        (ListConversationsRequest { holder: Assistant.into(), ..reason(EscalationReason::Other) }, vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|n: usize| chats[n].clone()).collect();
        assert_eq!(listed(&service, request.clone()).await, expected, "{request:?}");
        // The longest waiting first is here the reverse order of beginning, as the newest first; without the first two.
        let waiting: Vec<_> =
            expected.into_iter().filter(|chat| !["chat-0", "chat-1"].contains(&chat.as_str())).collect();
        let request = ListConversationsRequest { order: longest_waiting().order, ..request };
        if request.holder() != Assistant {
            assert_eq!(listed(&service, request.clone()).await, waiting, "{request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_lists_who_waits_longest_first_and_who_is_put_back_waits_from_then() {
    let service = Conversation::start().await.ready().await;
    ten_conversations(&service).await;
    let queue = ListConversationsRequest { holder: ConversationHolder::Queue.into(), ..longest_waiting() };
    assert_eq!(listed(&service, queue.clone()).await, ["chat-8", "chat-6", "chat-4", "chat-2"]);
    assign(&service, "chat-8", person("agent-3"), "").await.expect("taken");
    assert_eq!(listed(&service, queue.clone()).await, ["chat-6", "chat-4", "chat-2"]);
    assign(&service, "chat-8", QUEUE, "").await.expect("put back");
    close(&service, "chat-4", "").await.expect("closed");
    assert_eq!(listed(&service, queue.clone()).await, ["chat-6", "chat-2", "chat-8"]);
    let page = service.client.clone().list_conversations(queue).await.expect("listed").into_inner();
    let first = &page.conversations[0];
    assert_eq!(*first, read(&service, "chat-6").await, "a list has the whole handoff");
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_listed_by_the_time_when_they_began_and_by_mood() {
    let service = Conversation::start().await.ready().await;
    for (n, score) in [(1, 0.1), (2, 0.5), (3, 0.9), (4, 0.2)] {
        let emotion = teppan_shared::contract::conversation::v1::Emotion { score: Some(score), ..Default::default() };
        let message =
            StoreMessageRequest { emotion: Some(emotion), ..fixtures::message(&format!("chat-{n}"), "Hello") };
        service.client.clone().store_message(message).await.expect("stored");
    }
    harness::execute(
        &service.url,
        "UPDATE conversations SET created_at = timestamptz '2030-01-01Z' + right(conversation_id, 1)::int * interval '1 hour'",
    )
    .await;
    harness::eventually("everything is counted", async || {
        service.scalar::<bool>("SELECT NOT EXISTS (SELECT FROM emotion_pending)").await
    })
    .await;
    let at = |hour: u32| Some(time(&format!("2030-01-01T{hour:02}:00:00Z")));
    let between = |created_from, created_before| ListConversationsRequest {
        created_from,
        created_before,
        page_size: 1,
        ..Default::default()
    };
    assert_eq!(listed(&service, between(at(2), at(4))).await, ["chat-3", "chat-2"]);
    assert_eq!(listed(&service, between(at(4), None)).await, ["chat-4"]);
    assert_eq!(listed(&service, between(None, at(2))).await, ["chat-1"]);
    assert!(listed(&service, between(at(4), at(2))).await.is_empty());
    let low = ListConversationsRequest { emotion_level: EmotionLevel::Negative.into(), ..between(None, None) };
    assert_eq!(listed(&service, low).await, ["chat-4", "chat-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_list_is_reported_and_a_token_is_bound_to_its_filters() {
    let service = Conversation::start().await.ready().await;
    ten_conversations(&service).await;
    let refused =
        async |request| wrong_fields(&service.client.clone().list_conversations(request).await.expect_err("refused"));
    let wrong = ListConversationsRequest {
        page_size: -1,
        holder: 99,
        assignee: "agent-7".to_owned(),
        escalation_reason: 99,
        created_from: Some(teppan_shared::wire::Timestamp { seconds: i64::MAX, nanos: 0 }),
        emotion_level: 99,
        order: 99,
        ..Default::default()
    };
    let fields = ["page_size", "holder", "escalation_reason", "created_from", "emotion_level", "order"];
    assert_eq!(refused(wrong).await, fields);
    let nobody = ListConversationsRequest {
        holder: ConversationHolder::Queue.into(),
        assignee: "agent-7".to_owned(),
        ..Default::default()
    };
    assert_eq!(refused(nobody).await, ["assignee"]);
    let open = ListConversationsRequest { status: ConversationStatus::Open.into(), ..longest_waiting() };
    assert_eq!(refused(open).await, ["order"]);

    let first = service.client.clone().list_conversations(longest_waiting()).await.expect("listed").into_inner();
    let next = ListConversationsRequest { page_token: first.next_page_token, ..longest_waiting() };
    for changed in [
        ListConversationsRequest { holder: ConversationHolder::Queue.into(), ..next.clone() },
        ListConversationsRequest { order: ConversationOrder::NewestFirst.into(), ..next.clone() },
        ListConversationsRequest { created_from: Some(time("2030-01-01T00:00:00Z")), ..next.clone() },
    ] {
        assert_eq!(refused(changed).await, ["page_token"]);
    }
    let larger = ListConversationsRequest { page_size: 100, ..next };
    assert_eq!(listed(&service, larger).await.len(), 6);
}
