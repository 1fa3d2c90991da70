//! Clients that do not read their answers.

use std::time::Duration;

use h2::Reason;
use teppan_tests::{harness, raw_client};
use tonic::Code;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_its_permit_until_the_client_has_read_its_answer() {
    let service = conversation(|settings| settings.server.max_in_flight = 4).await;
    let list = long_chat(&service, 5).await;
    let mut client = connect_with_window(&service, 1024).await;
    // One connection alone gets half of the permits.
    let mut unread = Vec::new();
    for _ in 0..2 {
        let answer = client.call(LIST_MESSAGES, &list).await.expect("sent").await.expect("an answer begins");
        unread.push(answer.into_body());
    }
    assert_eq!(outcome(client.call(STORE_MESSAGE, &short_message()).await.expect("sent")).await, overloaded());
    store_elsewhere(&service).await.expect("other connections get the remaining permits");

    let bytes = raw_client::take(&mut unread[0]).await.expect("the rest of the answer");
    assert!(bytes > 5 * 30 * 1024, "{bytes}");
    harness::eventually("the permit is free again", async || {
        let answer = client.call(STORE_MESSAGE, &short_message()).await.expect("sent");
        outcome(answer).await.0 == Code::Ok
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_client_does_not_read_is_reset_and_the_connection_stays_open() {
    let service = conversation(|settings| {
        settings.server.max_in_flight = 2;
        settings.server.limits.write_timeout = Duration::from_millis(300);
    })
    .await;
    let list = long_chat(&service, 5).await;
    let mut client = connect_with_window(&service, 1024).await;
    let answer = client.call(LIST_MESSAGES, &list).await.expect("sent").await.expect("an answer begins");
    let mut body = answer.into_body();
    let end = loop {
        match body.data().await.expect("the answer ends with an error") {
            Ok(data) => assert_eq!(data.len(), 1024),
            Err(error) => break error,
        }
    };
    assert_eq!(end.reason(), Some(Reason::CANCEL), "{end:?}");
    // The permit of the reset call is free again.
    harness::eventually("the connection still serves calls", async || {
        let answer = client.call(STORE_MESSAGE, &short_message()).await.expect("sent");
        outcome(answer).await.0 == Code::Ok
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_the_end_of_an_answer_is_disconnected() {
    let service = conversation(|settings| settings.server.limits.write_timeout = Duration::from_millis(200)).await;
    let mut client = connect_with_window(&service, 16).await;
    // The transport has buffered the whole small answer and waits until the client accepts the rest.
    let answer = client.call(STORE_MESSAGE, &short_message()).await.expect("sent").await.expect("an answer begins");
    let _unread = answer.into_body();
    let sent_goaway = tokio::time::timeout(Duration::from_mins(1), client.ended()).await.expect("the connection ends");
    assert!(!sent_goaway);
    store_elsewhere(&service).await.expect("other clients are still served");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_gets_only_its_share_of_the_bytes_of_answers() {
    let service = conversation(|settings| settings.server.limits.max_answer_bytes = 1 << 20).await;
    let list = long_chat(&service, 12).await;
    let mut client = connect_with_window(&service, 1024).await;
    let first = client.call(LIST_MESSAGES, &list).await.expect("sent").await.expect("an answer begins");
    assert_eq!(Status::from_header_map(first.headers()).map(|status| status.code()), None);
    assert_eq!(outcome(client.call(LIST_MESSAGES, &list).await.expect("sent")).await, overloaded());
    // Another connection has a share of its own.
    let mut other = connect(&service).await;
    assert_eq!(outcome(other.call(LIST_MESSAGES, &list).await.expect("sent")).await.0, Code::Ok);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_announces_how_many_calls_a_connection_may_have() {
    let service = conversation(|settings| settings.server.limits.max_calls_per_connection = 7).await;
    let client = connect(&service).await;
    harness::eventually("the settings are there", async || client.calls_max() == 7).await;
}
