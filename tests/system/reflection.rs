use teppan_tests::{clients, harness::Booking};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_client_finds_the_services_by_reflection() {
    let booking = Booking::start().await.ready().await;
    let channel = clients::channel(booking.service.server.grpc_addr);
    let listed = list_services(channel).await;
    for service in booking_service::app::DEFINITION.services.iter().chain(&["grpc.health.v1.Health"]) {
        assert!(listed.iter().any(|name| name == service), "{service} is not among {listed:?}");
    }
    assert!(!listed.iter().any(|name| name.starts_with("teppan.conversation")), "{listed:?}");
}

async fn list_services(channel: Channel) -> Vec<String> {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::iter([request]);
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(requests).await.expect("reflection").into_inner();
    let answer = answers.next().await.expect("an answer").expect("no error");
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => list.service.into_iter().map(|s| s.name).collect(),
        other => panic!("{other:?}"),
    }
}
