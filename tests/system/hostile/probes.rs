//! Health checks and reflection accept only small messages and have limits of their own.

use std::time::Duration;

use teppan_tests::{
    clients,
    raw_client::{self, RawClient},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};

use super::*;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

async fn check_elsewhere(service: &Conversation) {
    let mut health = HealthClient::new(clients::channel(service.service.server.grpc_addr));
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    health.check(request).await.expect("health is answered");
}

fn too_large() -> (Code, String) {
    (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_accept_only_small_messages() {
    let service = conversation(|_| {}).await;
    let mut client = connect(&service).await;
    let name = "a".repeat(5000);
    let check = HealthCheckRequest { service: name.clone() };
    assert_eq!(outcome(client.call(CHECK, &check).await.expect("sent")).await, too_large());
    assert_eq!(outcome(client.call(WATCH, &check).await.expect("sent")).await, too_large());
    let describe = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(name)),
    };
    // The reflection library ends its stream without a status.
    let mut answer =
        client.call(REFLECTION, &describe).await.expect("sent").await.expect("response headers").into_body();
    assert_eq!(raw_client::take(&mut answer).await.expect("an end"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_length_prefix_is_too_large_is_refused_before_it_arrives() {
    let service = conversation(|_| {}).await;
    let mut client = connect(&service).await;
    for (method, length) in [(CHECK, 4097_u32), (STORE_MESSAGE, 3 * 1024 * 1024 + 1)] {
        let (answer, mut body) = client.begin(method).await.expect("begun");
        let head = [&[0][..], &length.to_be_bytes()].concat();
        body.send_data(head.into(), false).expect("sent");
        assert_eq!(outcome(answer).await, too_large(), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_probes_time_out_and_do_not_block_other_probes() {
    let service = conversation(|settings| {
        settings.server.limits.max_probes = 2;
        settings.server.limits.arrival_timeout = Duration::from_millis(500);
    })
    .await;
    let mut client = connect(&service).await;
    let mut half_sent = Vec::new();
    for _ in 0..20 {
        let (answer, mut body) = client.begin(CHECK).await.expect("begun");
        body.send_data(bytes::Bytes::from_static(&[0, 0, 0, 1, 0, 10]), false).expect("sent");
        half_sent.push((answer, body));
    }
    check_elsewhere(&service).await;
    for (answer, _body) in half_sent {
        assert_eq!(outcome(answer).await, (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_gets_only_its_share_of_health_watches_and_checks_still_work() {
    let service = conversation(|settings| settings.server.limits.max_probes = 4).await;
    let (mut greedy, mut other) = (connect(&service).await, connect(&service).await);
    let watch = async |client: &mut RawClient| {
        let request = HealthCheckRequest { service: "liveness".to_owned() };
        let answer = client.call(WATCH, &request).await.expect("sent").await.expect("an answer");
        match Status::from_header_map(answer.headers()) {
            Some(status) => Err(kind(&status)),
            None => Ok(answer.into_body()),
        }
    };
    let _first = watch(&mut greedy).await.expect("a watch");
    let _second = watch(&mut greedy).await.expect("a watch");
    assert_eq!(watch(&mut greedy).await.map(|_| ()), Err(overloaded()));
    let _third = watch(&mut other).await.expect("another connection's watch");
    check_elsewhere(&service).await;
}
