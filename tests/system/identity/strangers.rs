//! Clients without credentials.

use std::time::Duration;

use teppan_shared::{contract::conversation::v1::StoreMessageRequest, identity::Role};
use teppan_tests::{
    callers::{Callers, call, reason, with_token},
    fixtures,
    raw_client::{self, RawClient},
};
use tonic::{Code, Request};

use super::*;

const CONNECTIONS: usize = 1000;
/// Between the calls of a connection, and before it is made anew.
const PAUSE: Duration = Duration::from_millis(500);

fn message() -> StoreMessageRequest {
    fixtures::message(&fixtures::conversation_id(), "Hello")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_without_credentials_that_never_rest_do_not_lock_callers_out() {
    let callers = Callers::default();
    let service = conversation(|settings| {
        callers.guard(settings);
        settings.server.limits.max_connections = 100;
    })
    .await;
    let server = service.service.server.grpc_addr;
    let hostile = async {
        let attack = (0..CONNECTIONS).map(|_| async move {
            loop {
                // A connection that is refused or closed is made anew.
                if let Ok(mut client) = RawClient::connect(server).await {
                    while let Ok(answer) = client.call(&format!("/{STORE_MESSAGE}"), &message()).await {
                        if raw_client::status(answer).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        futures::future::join_all(attack).await;
    };
    let token = callers.token(Role::Orchestrator);
    let callers_get_through = async {
        for _ in 0..20 {
            // Each over a new connection, which may take some attempts, as any client makes them.
            let stored = async {
                loop {
                    let mut client = clients::conversations(server);
                    if client.store_message(with_token(token, message())).await.is_ok() {
                        // Once known, the connection stays.
                        client.store_message(with_token(token, message())).await.expect("stored");
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(20), stored).await.expect("a caller gets through");
        }
    };
    tokio::select! {
        () = hostile => unreachable!("it never ends"),
        () = callers_get_through => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_after_many_refused_calls_in_a_row() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    let mut client = RawClient::connect(service.service.server.grpc_addr).await.expect("connected");
    let mut calls = 0;
    let calling = async {
        while !client.has_ended() {
            // The answer may come before the message is sent, which this client takes for an error.
            match client.call(&format!("/{STORE_MESSAGE}"), &message()).await {
                Ok(answer) => {
                    let code = raw_client::status(answer).await.map_or(Code::Unauthenticated, |status| status.code());
                    assert_eq!(code, Code::Unauthenticated);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            calls += 1;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), calling).await.expect("it is closed");
    assert!(calls >= 20, "{calls}");
}

/// Half of a message is sent, and the other half never.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_credentials_is_refused_before_its_message_is_there() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    let mut client = RawClient::connect(service.service.server.grpc_addr).await.expect("connected");
    let (answer, mut body) = client.begin(&format!("/{STORE_MESSAGE}")).await.expect("begun");
    body.send_data(raw_client::framed(&message()).slice(..10), false).expect("sent");
    let status = tokio::time::timeout(Duration::from_mins(1), raw_client::status(answer)).await;
    assert_eq!(status.expect("soon").expect("answered").code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_in_the_settings_every_caller_may_call_everything() {
    let service = conversation(|_| {}).await;
    let mut client = clients::conversations(service.service.server.grpc_addr);
    client.store_message(Request::new(message())).await.expect("stored");
    client.store_message(with_token("ignored", message())).await.expect("stored");
    assert_eq!(reason(&call(&channel_to(&service), STORE_MESSAGE, None).await).0, "INVALID_FIELDS");
}
