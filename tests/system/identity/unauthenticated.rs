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
/// Pause between the calls of a connection, and before a new connection.
const PAUSE: Duration = Duration::from_millis(500);

fn message() -> StoreMessageRequest {
    fixtures::message(&fixtures::conversation_id(), "Hello")
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_with_credentials_are_served_despite_a_thousand_connections_without_credentials() {
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
                // A connection that is refused or closed is replaced by a new one.
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
            // Each caller uses a new connection. Opening one may take some attempts, as with any client.
            let stored = async {
                loop {
                    let mut client = clients::conversations(server);
                    if client.store_message(with_token(token, message())).await.is_ok() {
                        // A connection with an authenticated call stays open.
                        client.store_message(with_token(token, message())).await.expect("stored");
                        return;
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(20), stored).await.expect("a caller gets through");
        }
    };
    tokio::select! {
        () = hostile => unreachable!("the hostile clients never stop"),
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
            // If the answer comes before the message is sent, this client reports an error.
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
    tokio::time::timeout(Duration::from_mins(1), calling).await.expect("the connection is closed");
    assert!(calls >= 20, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_credentials_is_refused_before_its_message_has_arrived() {
    let callers = Callers::default();
    let service = conversation(|settings| callers.guard(settings)).await;
    let mut client = RawClient::connect(service.service.server.grpc_addr).await.expect("connected");
    let (answer, mut body) = client.begin(&format!("/{STORE_MESSAGE}")).await.expect("begun");
    // Only the first bytes of the message are sent, and not even these if the answer is here already.
    let _ = body.send_data(raw_client::framed(&message()).slice(..10), false);
    let status = tokio::time::timeout(Duration::from_mins(1), raw_client::status(answer)).await;
    assert_eq!(status.expect("soon").expect("answered").code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configured_credentials_every_caller_may_call_every_method() {
    let service = conversation(|_| {}).await;
    let mut client = clients::conversations(service.service.server.grpc_addr);
    client.store_message(Request::new(message())).await.expect("stored");
    client.store_message(with_token("ignored", message())).await.expect("stored");
    assert_eq!(reason(&call(&channel_to(&service), STORE_MESSAGE, None).await).0, "INVALID_FIELDS");
}
