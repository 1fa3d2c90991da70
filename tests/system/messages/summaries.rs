use futures::future::join_all;
use rand::seq::SliceRandom as _;
use teppan_shared::contract::conversation::v1::{ConversationSummary, ListConversationsRequest, SetSummaryRequest};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};

use super::{kind, metadata, plain, read, store, store_many, summary, wrong_fields};

async fn set(service: &Conversation, request: SetSummaryRequest) -> Result<ConversationSummary, Status> {
    Ok(service.client.clone().set_summary(request).await?.into_inner().summary.expect("the summary"))
}

/// A conversation with messages.
async fn chat_of(service: &Conversation, messages: usize) -> String {
    let chat = fixtures::conversation_id();
    let messages: Vec<_> = (0..messages).map(|n| plain(&chat, &format!("message {n}"))).collect();
    store_many(service, &chat, &messages).await.expect("stored");
    chat
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_read_back_until_a_later_one_replaces_it() {
    let service = Conversation::start().await.ready().await;
    let chat = chat_of(&service, 10).await;
    assert_eq!(read(&service, &chat).await.summary, None);
    for (through, text) in [(4, "They want a table."), (4, "They want a table for four."), (10, "It is booked.")] {
        let request = SetSummaryRequest { token_count: Some(9), ..summary(&chat, through, text) };
        let answered = set(&service, request.clone()).await.expect("set");
        assert_eq!((answered.through_sequence, answered.text.as_str()), (through, text));
        assert_eq!((answered.written_by.as_str(), answered.token_count), ("summariser-3", Some(9)));
        assert_eq!(read(&service, &chat).await.summary, Some(answered));
        set(&service, request).await.expect("the same call again");
    }
    let status = set(&service, summary(&chat, 9, "Late.")).await.expect_err("outdated");
    assert_eq!(kind(&status), (Code::FailedPrecondition, "SUMMARY_OUTDATED".to_owned()));
    assert_eq!(metadata(&status, "through_sequence"), "10");
    let status = set(&service, summary(&chat, 11, "Early.")).await.expect_err("ahead");
    assert_eq!(kind(&status), (Code::FailedPrecondition, "SUMMARY_AHEAD".to_owned()));
    assert_eq!(metadata(&status, "message_count"), "10");
    assert_eq!(read(&service, &chat).await.summary.expect("the summary").text, "It is booked.");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_summaries_the_one_that_covers_most_stays() {
    let service = Conversation::start().await.ready().await;
    let second = Conversation::over(service.url.clone(), service.keys.clone()).await.ready().await;
    for _ in 0..5 {
        let chat = chat_of(&service, 20).await;
        let mut watermarks: Vec<i64> = (1..=20).collect();
        watermarks.shuffle(&mut rand::rng());
        let calls = watermarks.iter().map(|through| {
            let service = if through % 2 == 0 { &service } else { &second };
            set(service, summary(&chat, *through, &format!("through {through}")))
        });
        for (through, answer) in watermarks.iter().zip(join_all(calls).await) {
            match answer {
                Ok(summary) => assert_eq!(summary.through_sequence, *through),
                Err(status) => {
                    assert_eq!(kind(&status).1, "SUMMARY_OUTDATED");
                    assert!(metadata(&status, "through_sequence").parse::<i64>().expect("a number") > *through);
                }
            }
        }
        assert_eq!(read(&service, &chat).await.summary.expect("one").text, "through 20");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_sealed_and_an_earlier_one_does_not_open_in_the_place_of_a_later_one() {
    let service = Conversation::start().await.ready().await;
    let chat = chat_of(&service, 10).await;
    set(&service, summary(&chat, 3, "Mina wants a table.")).await.expect("set");
    harness::execute(&service.url, "CREATE TABLE earlier AS SELECT * FROM conversation_summaries").await;
    set(&service, summary(&chat, 7, "Mina has a table.")).await.expect("set");
    let stored: String =
        service.scalar("SELECT s::text || encode(text_sealed, 'escape') FROM conversation_summaries AS s").await;
    assert!(!stored.contains("Mina"), "{stored}");
    let put_back = "UPDATE conversation_summaries SET text_sealed = (SELECT text_sealed FROM earlier)";
    harness::execute(&service.url, put_back).await;
    let request = teppan_shared::contract::conversation::v1::GetConversationRequest { conversation_id: chat };
    let status = service.client.clone().get_conversation(request).await.expect_err("altered");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_listed_whose_summary_is_stale_page_by_page() {
    let service = Conversation::start().await.ready().await;
    let mut expected = Vec::new();
    for messages in [3, 9, 4, 6, 20, 5] {
        let chat = chat_of(&service, messages).await;
        let (messages, covered) = (i64::try_from(messages).expect("few"), if messages == 9 { 6 } else { 1 });
        if messages != 4 {
            set(&service, summary(&chat, covered, "They want a table.")).await.expect("set");
        }
        if messages - if messages == 4 { 0 } else { covered } > 3 {
            expected.insert(0, chat);
        }
    }
    let mut request = ListConversationsRequest { page_size: 2, summary_stale_by: Some(3), ..Default::default() };
    let mut listed = Vec::new();
    loop {
        let page = service.client.clone().list_conversations(request.clone()).await.expect("listed").into_inner();
        assert!(page.conversations.len() <= 2);
        listed.extend(page.conversations.into_iter().map(|conversation| conversation.conversation_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, expected);
    assert_eq!(listed.len(), 4, "those of 4, 6, 20 and 5 messages");
    let negative = ListConversationsRequest { summary_stale_by: Some(-1), ..Default::default() };
    let status = service.client.clone().list_conversations(negative).await.expect_err("wrong");
    assert_eq!(wrong_fields(&status), ["summary_stale_by"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_summary_is_reported_and_an_unknown_conversation_is_not_found() {
    let service = Conversation::start().await.ready().await;
    let wrong = SetSummaryRequest {
        text: "x".repeat(32_769),
        written_by: String::new(),
        token_count: Some(-1),
        ..summary("no spaces", 0, "")
    };
    let status = set(&service, wrong).await.expect_err("wrong");
    let fields = ["conversation_id", "through_sequence", "text", "written_by", "token_count"];
    assert_eq!(wrong_fields(&status), fields);
    let status = set(&service, summary(&fixtures::conversation_id(), 1, "Nothing.")).await.expect_err("not there");
    assert_eq!(kind(&status), (Code::NotFound, "CONVERSATION_NOT_FOUND".to_owned()));
    let chat = fixtures::conversation_id();
    store(&service, plain(&chat, "Hello")).await;
    set(&service, summary(&chat, 1, &"x".repeat(32_768))).await.expect("the longest");
}
