use teppan_shared::contract::conversation::v1::{
    Channel, ConversationStatus, ListConversationsRequest, ListMessagesRequest, Message, SequenceOrder,
    StoreMessageRequest,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::store;

/// The messages of all pages of a list.
pub(super) async fn messages(service: &Conversation, mut request: ListMessagesRequest) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let page = service.client.clone().list_messages(request.clone()).await.expect("listed").into_inner();
        messages.extend(page.messages);
        if page.next_page_token.is_empty() {
            return messages;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_in_both_directions_page_by_page() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for n in 1..=25 {
        store(&service, fixtures::message(&chat, &format!("message {n}"))).await;
    }
    let list = |order: SequenceOrder, after_sequence, before_sequence| ListMessagesRequest {
        conversation_id: chat.clone(),
        page_size: 7,
        order: order.into(),
        after_sequence,
        before_sequence,
        ..Default::default()
    };
    let sequences = async |request| {
        messages(&service, request).await.into_iter().map(|message| message.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(list(SequenceOrder::OldestFirst, 0, 0)).await, (1..=25).collect::<Vec<_>>());
    assert_eq!(sequences(list(SequenceOrder::NewestFirst, 0, 0)).await, (1..=25).rev().collect::<Vec<_>>());
    assert_eq!(sequences(list(SequenceOrder::OldestFirst, 5, 20)).await, (6..20).collect::<Vec<_>>());
    assert_eq!(sequences(list(SequenceOrder::NewestFirst, 5, 20)).await, (6..20).rev().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_messages_stays_below_the_clients_limit() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for _ in 0..150 {
        store(&service, fixtures::message(&chat, &"x".repeat(32_768))).await;
    }
    let all = ListMessagesRequest { conversation_id: chat, page_size: 1000, ..Default::default() };
    // The call fails if a page exceeds the client's own limit of 4 MiB.
    let listed = messages(&service, all).await;
    assert_eq!(listed.iter().map(|message| message.sequence).collect::<Vec<_>>(), (1..=150).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_listed_by_customer_state_and_channel() {
    let service = Conversation::start().await.ready().await;
    let mut made = Vec::new();
    for n in 0..9 {
        let chat = fixtures::conversation_id();
        let channel = if n % 3 == 0 { Channel::Sms } else { Channel::Web };
        let user_id = if n % 2 == 0 { "mina" } else { "kenji" };
        let message = StoreMessageRequest {
            user_id: user_id.to_owned(),
            channel: channel.into(),
            ..fixtures::message(&chat, "Hello")
        };
        store(&service, message).await;
        made.push((chat, channel, user_id));
    }
    for (user_id, channel) in [("", None), ("mina", None), ("", Some(Channel::Sms)), ("mina", Some(Channel::Sms))] {
        for status in [ConversationStatus::Unspecified, ConversationStatus::Open, ConversationStatus::Closed] {
            let mut request = ListConversationsRequest {
                page_size: 2,
                user_id: user_id.to_owned(),
                channel: channel.unwrap_or(Channel::Unspecified).into(),
                status: status.into(),
                ..Default::default()
            };
            let mut listed = Vec::new();
            loop {
                let page = service.client.clone().list_conversations(request.clone()).await.expect("listed");
                let page = page.into_inner();
                assert!(page.conversations.len() <= 2);
                listed.extend(page.conversations.into_iter().map(|conversation| conversation.conversation_id));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            let expected: Vec<_> = made
                .iter()
                .rev()
                .filter(|(_, on, user)| {
                    status != ConversationStatus::Closed
                        && (user_id.is_empty() || *user == user_id)
                        && channel.is_none_or(|channel| *on == channel)
                })
                .map(|(chat, ..)| chat.clone())
                .collect();
            assert_eq!(listed, expected, "{user_id:?} {channel:?} {status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_message_is_reported_and_the_list_continues_after_it() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    for _ in 0..5 {
        store(&service, fixtures::message(&chat, "Hello")).await;
    }
    harness::execute(&service.url, "UPDATE messages SET content_sealed = 'x' WHERE sequence IN (3, 4)").await;
    let (mut read, mut unreadable) = (Vec::new(), Vec::new());
    let mut request = ListMessagesRequest { conversation_id: chat, ..Default::default() };
    loop {
        match service.client.clone().list_messages(request.clone()).await {
            Ok(page) => {
                let page = page.into_inner();
                read.extend(page.messages.iter().map(|message| message.sequence));
                request.page_token = page.next_page_token;
            }
            Err(status) => {
                let info = status.get_details_error_info().expect("an ErrorInfo");
                assert_eq!((status.code(), info.reason.as_str()), (Code::Internal, "DATA_CORRUPTED"));
                unreadable.push(info.metadata["sequence"].clone());
                request.page_token = info.metadata["next_page_token"].clone();
            }
        }
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((read, unreadable), (vec![1, 2, 5], vec!["3".to_owned(), "4".to_owned()]));
}
