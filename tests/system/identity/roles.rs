//! The methods that each role may call.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use strum::VariantArray as _;
use teppan_shared::{
    contract::conversation::v1::ClaimDueFollowUpsRequest,
    identity::{Access, Role, Token, rule},
};
use teppan_tests::callers::{Callers, call, entry, reason, with_token};
use tonic::{Code, transport::Channel};

use super::*;

/// The full names of all methods of these services.
fn methods_of(services: &[&str]) -> Vec<String> {
    let files = FileDescriptorSet::decode(teppan_shared::contract::DESCRIPTORS).expect("descriptors").file;
    let mut methods = Vec::new();
    for file in &files {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            if services.contains(&service_name.as_str()) {
                methods.extend(service.method.iter().map(|method| format!("{service_name}/{}", method.name())));
            }
        }
    }
    methods
}

/// Calls each method with each role, and checks that the access rules decide which calls are admitted.
async fn assert_access_rules(channel: &Channel, services: &[&str], callers: &Callers) {
    let reflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned();
    let mut refusals = 0;
    for method in methods_of(services).into_iter().chain([reflection]) {
        let Access::Roles(needed) = rule(&method).access else { panic!("{method} needs no role") };
        let without = call(channel, &method, None).await;
        assert_eq!(reason(&without).0, "CREDENTIALS_MISSING", "{method}");
        for &role in Role::VARIANTS {
            let called = call(channel, &method, Some(callers.token(role))).await;
            let code = called.as_ref().map_or_else(tonic::Status::code, |()| Code::Ok);
            if needed.iter().any(|it| it == role) {
                // The empty message is invalid for most methods, but the caller is admitted.
                assert!(
                    !matches!(code, Code::PermissionDenied | Code::Unauthenticated),
                    "{method} as {role:?}: {code}"
                );
            } else {
                assert_eq!(code, Code::PermissionDenied, "{method} as {role:?}");
                assert_eq!(reason(&called), ("ROLE_MISSING".to_owned(), needed.to_string()), "{method} as {role:?}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 50, "{refusals}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_call_only_its_methods_of_booking_service() {
    let callers = Callers::default();
    let service = booking(|settings| callers.guard(settings)).await;
    let channel = clients::channel(service.service.server.grpc_addr);
    assert_access_rules(&channel, booking_service::app::DEFINITION.services, &callers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_call_only_its_methods_of_conversation_service() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    assert_access_rules(&channel_to(&service), conversation_service::app::DEFINITION.services, &callers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_probes_need_no_credentials_but_unknown_methods_do() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    let channel = channel_to(&service);
    assert_eq!(reason(&call(&channel, "grpc.health.v1.Health/Check", None).await).0, "OK");
    assert_eq!(reason(&call(&channel, "grpc.health.v1.Health/Watch", None).await).0, "OK");
    let made_up = "teppan.conversation.v1.ConversationService/MadeUp";
    assert_eq!(reason(&call(&channel, made_up, None).await).0, "CREDENTIALS_MISSING");
    let known = call(&channel, made_up, Some(callers.token(Role::Sender))).await;
    assert_eq!(reason(&known).0, "METHOD_NOT_IMPLEMENTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_of_one_caller_together_get_one_share_of_a_limit() {
    let (callers, other) = (Callers::default(), Token::random());
    callers.write(&entry("another-sender", Role::Sender, &other));
    let service = conversation(|settings| {
        callers.guard(settings);
        settings.server.limits.max_waiting = 4;
    })
    .await;
    let claim = async |token: &str| {
        let request = ClaimDueFollowUpsRequest { claimant: "test".to_owned(), wait_seconds: 5, ..Default::default() };
        let mut client = clients::follow_ups(service.service.server.grpc_addr);
        client.claim_due_follow_ups(with_token(token, request)).await.map(|_| ())
    };
    let token = callers.token(Role::Sender);
    // Each call uses a new connection. Of four waiting calls, one caller may have two.
    let calls = futures::future::join_all((0..4).map(|_| claim(token))).await;
    assert_eq!(calls.iter().filter(|call| call.is_ok()).count(), 2, "{calls:?}");
    let greedy = futures::future::join_all((0..2).map(|_| claim(token)));
    let (_, other) = tokio::join!(greedy, claim(other.expose()));
    other.expect("another caller has a share of its own");
}
