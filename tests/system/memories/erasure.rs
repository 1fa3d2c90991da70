use strum::VariantArray as _;
use teppan_shared::{
    contract::conversation::v1::{DeleteUserRequest, DeleteUserResponse, ScheduleFollowUpRequest},
    identity::Role,
    keys::Keys,
};
use teppan_tests::callers::{Callers, with_token};

use super::*;
use crate::follow_ups::{request, schedule};

async fn delete_user(service: &Conversation, user: &str) -> DeleteUserResponse {
    let request = DeleteUserRequest { user_id: user.to_owned() };
    service.client.clone().delete_user(request).await.expect("deleted").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_about_a_user_is_deleted_in_steps_and_nothing_about_others() {
    let service = Conversation::start().await.ready().await;
    let other = fixtures::conversation_id();
    say(&service, &other, "kenji").await;
    set(&service, fact("kenji", "city", "Berlin")).await.expect("set");
    for n in 0..52 {
        let chat = format!("mina-{n}");
        let source_message_id = say(&service, &chat, "mina").await;
        let key = format!("key-{n}");
        set(&service, SetMemoryRequest { source_message_id, ..fact("mina", &key, "value") }).await.expect("set");
    }
    set(&service, fact("mina", "city", "Tokyo")).await.expect("set");
    schedule(&service, request("mina-7")).await;
    // Of a conversation that does not exist yet, and of somebody else's.
    for chat in ["not-begun", other.as_str()] {
        schedule(&service, ScheduleFollowUpRequest { user_id: "mina".to_owned(), ..request(chat) }).await;
    }
    schedule(&service, request(&other)).await;

    let mut erased = DeleteUserResponse { remaining: true, ..Default::default() };
    let mut calls = 0;
    while erased.remaining {
        let step = delete_user(&service, "mina").await;
        erased.conversations_deleted += step.conversations_deleted;
        erased.messages_deleted += step.messages_deleted;
        erased.follow_ups_deleted += step.follow_ups_deleted;
        erased.remaining = step.remaining;
        calls += 1;
    }
    assert_eq!(calls, 2, "50 conversations a call");
    assert_eq!((erased.conversations_deleted, erased.messages_deleted, erased.follow_ups_deleted), (52, 52, 3));
    let left = "SELECT (SELECT count(*) FROM conversations) + (SELECT count(*) FROM user_memories)
                + (SELECT count(*) FROM follow_ups) + (SELECT count(*) FROM reengagement_checks)
                + (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM memory_users)";
    assert_eq!(service.scalar::<i64>(left).await, 6, "one of each is the other user's");
    assert_eq!(delete_user(&service, "mina").await, DeleteUserResponse::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_role_privacy_erases_a_user() {
    let callers = Callers::default();
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut common = harness::settings(url.clone(), &keys);
    callers.guard(&mut common);
    let service = Conversation::with(common, url, keys).await.ready().await;
    let mut client = service.client.clone();
    let request = DeleteUserRequest { user_id: "mina".to_owned() };
    for &role in Role::VARIANTS {
        let erased = client.delete_user(with_token(callers.token(role), request.clone())).await;
        assert_eq!(erased.is_ok(), role == Role::Privacy, "{role:?}");
    }
    let empty = with_token(callers.token(Role::Privacy), DeleteUserRequest::default());
    assert_eq!(wrong_fields(&client.delete_user(empty).await.expect_err("wrong")), ["user_id"]);
}
