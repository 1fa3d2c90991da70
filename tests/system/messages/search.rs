//! SearchMessages: messages are found by words although their texts are sealed.

use conversation_service::settings::MessageSearch;
use teppan_shared::{
    contract::conversation::v1::{Message, RedactMessageRequest, SearchMessagesRequest, StoreMessageRequest},
    keys::Keys,
};
use teppan_tests::{
    fixtures,
    harness::{self, Conversation},
};
use tonic::{Code, Status};

use super::{deletion::delete, kind, metadata, plain, store, store_many, text, wrong_fields};
use crate::statements::{apply_plan_settings, buffers, plan, run};

async fn searching(url: secrecy::SecretString, keys: Keys, search: MessageSearch) -> Conversation {
    let common = harness::settings(url.clone(), &keys);
    Conversation::changed(common, url, keys, |settings| settings.message_search = search).await.ready().await
}

async fn on() -> Conversation {
    searching(harness::database(&conversation_service::app::DEFINITION).await, Keys::random(), MessageSearch::On).await
}

fn in_chat(chat: &str, words: &str) -> SearchMessagesRequest {
    let (conversation_id, words) = (chat.to_owned(), words.to_owned());
    SearchMessagesRequest { conversation_id, words, ..Default::default() }
}

fn of_user(user: &str, words: &str) -> SearchMessagesRequest {
    SearchMessagesRequest { user_id: user.to_owned(), words: words.to_owned(), ..Default::default() }
}

/// The messages of all pages of this size.
async fn found(service: &Conversation, request: SearchMessagesRequest, page_size: i32) -> Result<Vec<Message>, Status> {
    let mut request = SearchMessagesRequest { page_size, ..request };
    let mut messages = Vec::new();
    loop {
        let page = service.client.clone().search_messages(request.clone()).await?.into_inner();
        assert!(page.messages.len() <= usize::try_from(page_size).expect("a size"));
        messages.extend(page.messages);
        if page.next_page_token.is_empty() {
            return Ok(messages);
        }
        request.page_token = page.next_page_token;
    }
}

async fn sequences(service: &Conversation, request: SearchMessagesRequest) -> Vec<i64> {
    let mut pages = Vec::new();
    for page_size in [1, 3, 100] {
        let messages = found(service, request.clone(), page_size).await.expect("found");
        pages.push(messages.into_iter().map(|message| message.sequence).collect::<Vec<_>>());
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
    pages.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_conversation_are_found_by_all_words_in_any_form_newest_first() {
    let service = on().await;
    let (chat, other) = (fixtures::conversation_id(), fixtures::conversation_id());
    let first = store(&service, plain(&chat, "A table for FOUR, please.")).await;
    store(&service, plain(&chat, "Is the café open?")).await;
    let parts = StoreMessageRequest { parts: vec![text("Our table by the window")], ..plain(&chat, "Yes:") };
    store_many(&service, &chat, &[plain(&chat, "…"), parts, plain(&chat, "No Tables")]).await.expect("stored");
    store(&service, plain(&other, "Another table")).await;
    for (words, expected) in [
        ("table", vec![4, 1]),
        ("TABLE window", vec![4]),
        ("for table four", vec![1]),
        ("CAFE\u{301}", vec![2]),
        ("tables", vec![5]),
        ("window four", vec![]),
        ("yes", vec![4]),
    ] {
        assert_eq!(sequences(&service, in_chat(&chat, words)).await, expected, "{words}");
    }
    assert_eq!(found(&service, in_chat(&chat, "four"), 10).await.expect("found"), [first]);
    assert!(sequences(&service, in_chat(&fixtures::conversation_id(), "table")).await.is_empty());
    let clear = "SELECT count(DISTINCT t) FROM message_search, unnest(tokens) AS t";
    assert_eq!(service.scalar::<i64>(clear).await, 17, "the same word has another hash in another conversation");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_user_are_found_in_all_their_conversations() {
    let service = on().await;
    for n in 0..4 {
        for user in ["mina", "kenji"] {
            let message =
                |text: &str| StoreMessageRequest { user_id: user.to_owned(), ..plain(&format!("{user}-{n}"), text) };
            store(&service, message("I am allergic to shellfish")).await;
            store(&service, message(if n == 2 { "Hello" } else { "No shellfish!" })).await;
        }
    }
    let expected = ["mina-3/2", "mina-3/1", "mina-2/1", "mina-1/2", "mina-1/1", "mina-0/2", "mina-0/1"];
    for page_size in [1, 2, 100] {
        let messages = found(&service, of_user("mina", "shellfish"), page_size).await.expect("found");
        let seen: Vec<_> = messages.iter().map(|it| format!("{}/{}", it.conversation_id, it.sequence)).collect();
        assert_eq!(seen, expected);
    }
    assert!(found(&service, of_user("nobody", "shellfish"), 10).await.expect("found").is_empty());
    // More conversations than a page searches.
    harness::execute(
        &service.url,
        "INSERT INTO conversations (conversation_id, user_hash, user_sealed, channel, message_count, last_message_at,
                                    created_at, updated_at)
         SELECT 'more-' || n, user_hash, user_sealed, channel, 1, now(), now() + n * interval '1 s', now()
         FROM conversations, generate_series(1, 150) AS n WHERE conversation_id = 'mina-0'",
    )
    .await;
    assert_eq!(found(&service, of_user("mina", "shellfish"), 100).await.expect("found").len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_go_with_a_redaction_and_a_deletion_and_are_found_under_an_older_key() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let older = secrecy::ExposeSecret::expose_secret(&Keys::random().to_text()).to_owned();
    let keys = |text: &str| Keys::parse(text).expect("a ring");
    let service = searching(url.clone(), keys(&older), MessageSearch::On).await;
    let chat = fixtures::conversation_id();
    let said = store(&service, plain(&chat, "table one")).await;
    store(&service, plain(&chat, "table two")).await;
    let newer = secrecy::ExposeSecret::expose_secret(&Keys::random().to_text()).replacen("1:", "2:", 1);
    let both = searching(url, keys(&format!("{newer},{older}")), MessageSearch::On).await;
    store(&both, plain(&chat, "table three")).await;
    assert_eq!(sequences(&both, in_chat(&chat, "table")).await, [3, 2, 1]);
    let redact = RedactMessageRequest { conversation_id: chat.clone(), message_id: said.message_id };
    both.client.clone().redact_message(redact).await.expect("redacted");
    assert_eq!(sequences(&both, in_chat(&chat, "table")).await, [3, 2]);
    assert_eq!(both.scalar::<i64>("SELECT count(*) FROM message_search").await, 2);

    harness::execute(&both.url, "UPDATE messages SET content_sealed = 'x' WHERE sequence = 3").await;
    let status = found(&both, in_chat(&chat, "table"), 10).await.expect_err("unreadable");
    assert_eq!(kind(&status), (Code::Internal, "DATA_CORRUPTED".to_owned()));
    let page_token = metadata(&status, "next_page_token");
    let rest = SearchMessagesRequest { page_token, ..in_chat(&chat, "table") };
    assert_eq!(found(&both, rest, 10).await.expect("the rest").len(), 1);
    delete(&both, &chat).await;
    assert_eq!(both.scalar::<i64>("SELECT count(*) FROM message_search").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_no_word_is_kept_and_the_search_is_refused() {
    let service = Conversation::start().await.ready().await;
    let chat = fixtures::conversation_id();
    store(&service, plain(&chat, "table")).await;
    store_many(&service, &chat, &[plain(&chat, "table")]).await.expect("stored");
    assert_eq!(service.scalar::<i64>("SELECT count(*) FROM message_search").await, 0);
    let status = found(&service, in_chat(&chat, "table"), 10).await.expect_err("off");
    assert_eq!(kind(&status), (Code::FailedPrecondition, "SEARCH_DISABLED".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_search_is_reported_and_a_token_is_bound_to_it() {
    let service = on().await;
    let chat = fixtures::conversation_id();
    let refused =
        async |request| wrong_fields(&service.client.clone().search_messages(request).await.expect_err("wrong"));
    let both = SearchMessagesRequest { user_id: "mina".to_owned(), page_size: -1, ..in_chat(&chat, "…") };
    assert_eq!(refused(both).await, ["conversation_id", "words", "page_size"]);
    assert_eq!(refused(in_chat("", "table")).await, ["conversation_id"]);
    for _ in 0..2 {
        store(&service, plain(&chat, "table")).await;
    }
    let first = SearchMessagesRequest { page_size: 1, ..in_chat(&chat, "table") };
    let page = service.client.clone().search_messages(first).await.expect("found").into_inner();
    let other = SearchMessagesRequest { page_token: page.next_page_token, ..in_chat(&chat, "chair") };
    assert_eq!(refused(other).await, ["page_token"]);
}

const FIND: &str = include_str!("../../../conversation-service/src/search/find.sql");
const CONVERSATIONS: &str = include_str!("../../../conversation-service/src/search/conversations.sql");

#[tokio::test(flavor = "multi_thread")]
async fn a_rare_word_is_found_in_a_long_conversation_by_the_index() {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let mut connection = harness::connect(&url).await;
    apply_plan_settings(&mut connection).await;
    run(&mut connection, format!("PREPARE find (text[], text[], bigint[], bigint, bigint, bigint) AS {FIND}")).await;
    run(&mut connection, format!("PREPARE chats (bytea[], timestamptz, text, bigint) AS {CONVERSATIONS}")).await;
    let many = "
        INSERT INTO conversations (conversation_id, user_hash, user_sealed, channel, message_count, last_message_at, created_at, updated_at)
        SELECT 'chat-' || n, sha256((n % 10)::text::bytea), 'x', 'WEB', 20000, now(), now() + n * interval '1 s', now()
        FROM generate_series(1, 10000) AS n;
        INSERT INTO message_search SELECT 'chat-1', n, ARRAY[n % 4, 100 + n % 5000] FROM generate_series(1, 20000) AS n;
        VACUUM ANALYZE";
    for statement in many.split(';') {
        run(&mut connection, statement).await;
    }
    for (call, pages_max) in [
        ("find ('{chat-1}', '{\"{107}\"}', '{1}', 1000000, 51, 2097152)".to_owned(), 60),
        ("find ('{chat-1}', '{\"{3,107}\"}', '{1}', 1000000, 51, 2097152)".to_owned(), 120),
        ("find ('{chat-1,chat-2}', '{\"{107}\",\"{999999}\"}', '{1,2}', 1000000, 51, 2097152)".to_owned(), 70),
        ("chats (ARRAY[sha256('7')], NULL, NULL, 101)".to_owned(), 250),
    ] {
        plan(&mut connection, &call).await;
        let plan = plan(&mut connection, &call).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        println!("{call}: {} pages", buffers(&plan));
        assert!(buffers(&plan) < pages_max, "{call}: {} pages\n{plan}", buffers(&plan));
    }
}
