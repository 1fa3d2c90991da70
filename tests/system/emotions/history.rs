use teppan_shared::contract::conversation::v1::{
    EmotionHistoryEntry, GetEmotionHistoryRequest, GetEmotionHistoryResponse, Role, SequenceOrder,
};
use tonic::Code;

use super::*;

async fn page(service: &Conversation, request: GetEmotionHistoryRequest) -> GetEmotionHistoryResponse {
    service.client.clone().get_emotion_history(request).await.expect("answered").into_inner()
}

/// The entries of all pages.
async fn history(service: &Conversation, mut request: GetEmotionHistoryRequest) -> Vec<EmotionHistoryEntry> {
    let mut entries = Vec::new();
    loop {
        let page = page(service, request.clone()).await;
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            return entries;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn emotions_are_listed_in_both_directions_page_by_page_and_by_role() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let mut messages = Vec::new();
    for n in 0..25 {
        let mut request = scored(&chat, n * 40);
        match n % 5 {
            0 => request.emotion = None,
            1 => request.emotion = Some(Emotion { detected: vec!["joy".to_owned()], ..Default::default() }),
            2 => request.role = Role::Assistant.into(),
            _ => {}
        }
        messages.push(store(&mut service.client, request).await);
    }
    let expected = |role: Role| -> Vec<_> {
        let wanted = |it: &&Message| it.emotion.is_some() && (role == Role::Unspecified || it.role() == role);
        let entry = |it: &Message| EmotionHistoryEntry {
            message_id: it.message_id.clone(),
            sequence: it.sequence,
            role: it.role,
            emotion: it.emotion.clone(),
            sent_at: it.sent_at,
        };
        messages.iter().filter(wanted).map(entry).collect()
    };
    let request = |order: SequenceOrder, role: Role| GetEmotionHistoryRequest {
        conversation_id: chat.clone(),
        page_size: 4,
        order: order.into(),
        role: role.into(),
        ..Default::default()
    };
    for role in [Role::Unspecified, Role::User, Role::Assistant, Role::Tool] {
        let mut expected = expected(role);
        assert_eq!(history(&service, request(SequenceOrder::OldestFirst, role)).await, expected, "{role:?}");
        expected.reverse();
        assert_eq!(history(&service, request(SequenceOrder::NewestFirst, role)).await, expected, "{role:?}");
    }

    until_everything_is_counted(&service.url).await;
    let first = page(&service, request(SequenceOrder::OldestFirst, Role::Unspecified)).await;
    assert_eq!(first.statistics, statistics(&service.client, &chat).await);
    let other_order = GetEmotionHistoryRequest {
        page_token: first.next_page_token,
        ..request(SequenceOrder::NewestFirst, Role::Unspecified)
    };
    let refused = service.client.get_emotion_history(other_order).await.expect_err("a token for another list");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_run_the_history_has_the_sequence_that_the_watermark_must_reach() {
    let mut service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    let request = GetEmotionHistoryRequest { conversation_id: chat.clone(), ..Default::default() };
    let missing = service.client.get_emotion_history(request.clone()).await.expect_err("no such conversation");
    assert_eq!(missing.code(), Code::NotFound);

    store(&mut service.client, scored(&chat, 500)).await;
    store(&mut service.client, scored(&chat, 600)).await;
    until_everything_is_counted(&service.url).await;
    harness::execute(&service.url, "DELETE FROM emotion_statistics").await;
    assert!(statistics(&service.client, &chat).await.is_none());
    let uncounted = page(&service, request.clone()).await.statistics.expect("statistics");
    assert_eq!((uncounted.aggregated_through, uncounted.newest_scored_sequence), (0, 2));
    let requeue = "INSERT INTO emotion_pending SELECT conversation_id, sequence, now() FROM messages";
    harness::execute(&service.url, requeue).await;
    until_everything_is_counted(&service.url).await;
    let counted = page(&service, request).await.statistics.expect("statistics");
    assert_eq!((counted.aggregated_through, counted.newest_scored_sequence), (2, 2));
}
