use teppan_shared::contract::conversation::v1::ConversationStatus;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_handed_over_taken_given_to_others_and_handed_back() {
    let service = Conversation::start().await.ready().await;
    let chat = begun(&service).await;
    let begun = read(&service, &chat).await;
    assert_eq!((begun.status(), held_by(&begun)), (ConversationStatus::Open, ASSISTANT));
    assert!(!begun.etag.is_empty() && begun.held_since.is_none());

    let waits = escalate(&service, &chat, "").await;
    assert_eq!((waits.status(), held_by(&waits)), (ConversationStatus::Escalated, QUEUE));
    assert_eq!(waits.escalation_reason(), EscalationReason::CustomerRequest);
    assert!(waits.escalated_at.is_some() && waits.held_since == waits.escalated_at);

    let taken = assign(&service, &chat, person("agent-7"), &waits.etag).await.expect("taken");
    assert_eq!(held_by(&taken), person("agent-7"));
    assert_eq!((taken.escalated_at, taken.escalation_reason), (waits.escalated_at, waits.escalation_reason));
    assert_ne!(taken.held_since, waits.held_since, "since now");
    say(&service, &chat).await;
    let now = read(&service, &chat).await;
    assert_eq!((now.etag.as_str(), now.message_count, now.holder), (taken.etag.as_str(), 2, taken.holder));

    let other = assign(&service, &chat, person("agent-8"), "").await.expect("given");
    let again = assign(&service, &chat, QUEUE, &other.etag).await.expect("put back");
    assert_eq!((held_by(&again), again.escalated_at), (QUEUE, waits.escalated_at));
    let back = assign(&service, &chat, ASSISTANT, &again.etag).await.expect("handed back");
    assert_eq!((back.status(), held_by(&back)), (ConversationStatus::Open, ASSISTANT));
    assert_eq!((back.escalated_at, back.held_since, back.escalation_reason), (None, None, 0));
    let etags = [&begun, &waits, &taken, &other, &again, &back].map(|it| it.etag.as_str());
    assert_eq!(std::collections::BTreeSet::from(etags).len(), 6);
    assert_eq!(read(&service, &chat).await, back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_conversation_is_opened_by_a_message_and_by_a_person_but_not_by_handing_it_back() {
    let service = Conversation::start().await.ready().await;
    let chat = begun(&service).await;
    escalate(&service, &chat, "agent-7").await;
    let closed = close(&service, &chat, "").await.expect("closed");
    assert_eq!((closed.status(), held_by(&closed)), (ConversationStatus::Closed, ASSISTANT));
    assert!(closed.closed_at.is_some() && closed.escalated_at.is_none());
    assert_eq!(close(&service, &chat, "stale").await.expect("it is closed"), closed);
    assert_eq!(assign(&service, &chat, ASSISTANT, "").await.expect("it is the assistant's"), closed);

    say(&service, &chat).await;
    let open = read(&service, &chat).await;
    assert_eq!((open.status(), held_by(&open), open.closed_at), (ConversationStatus::Open, ASSISTANT, None));
    assert_ne!(open.etag, closed.etag, "it was opened by the customer");
    close(&service, &chat, &open.etag).await.expect("closed");
    let taken = assign(&service, &chat, person("agent-7"), "").await.expect("taken");
    assert_eq!((taken.status(), taken.escalation_reason()), (ConversationStatus::Escalated, EscalationReason::Other));
    assert_eq!(taken.closed_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_changes_nothing_and_one_with_a_stale_etag_is_refused() {
    let service = Conversation::start().await.ready().await;
    let chat = begun(&service).await;
    let open = read(&service, &chat).await;
    let first = escalate(&service, &chat, "agent-7").await;
    assert_eq!(escalate(&service, &chat, "agent-8").await, first, "the first escalation stays");
    let refused = assign(&service, &chat, person("agent-8"), &open.etag).await.expect_err("stale");
    assert_eq!(kind(&refused), (Code::Aborted, "ETAG_MISMATCH".to_owned()));
    assert_eq!(assign(&service, &chat, person("agent-7"), &open.etag).await.expect("it is theirs"), first);
    let refused = close(&service, &chat, "made up").await.expect_err("unknown");
    assert_eq!(kind(&refused), (Code::Aborted, "ETAG_MISMATCH".to_owned()));
    assert_eq!(read(&service, &chat).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_reported_and_an_unknown_conversation_is_not_found() {
    let service = Conversation::start().await.ready().await;
    let mut client = service.client.clone();
    let escalation = EscalateConversationRequest {
        conversation_id: String::new(),
        reason: 99,
        assignee: "ü".to_owned(),
        etag: String::new(),
    };
    let status = client.escalate_conversation(escalation).await.expect_err("wrong");
    assert_eq!(wrong_fields(&status), ["conversation_id", "reason", "assignee"]);
    let wrong = async |chat: &str, holder| wrong_fields(&assign(&service, chat, holder, "").await.expect_err("wrong"));
    assert_eq!(wrong("", (ConversationHolder::Unspecified, "")).await, ["conversation_id", "holder"]);
    assert_eq!(wrong("chat", person("")).await, ["assignee"]);
    assert_eq!(wrong("chat", (ConversationHolder::Queue, "agent-7")).await, ["assignee"]);
    assert_eq!(wrong_fields(&close(&service, "two words", "").await.expect_err("wrong")), ["conversation_id"]);
    let unknown = fixtures::conversation_id();
    for result in [close(&service, &unknown, "").await, assign(&service, &unknown, QUEUE, "").await] {
        assert_eq!(kind(&result.expect_err("unknown")), (Code::NotFound, "CONVERSATION_NOT_FOUND".to_owned()));
    }
}
