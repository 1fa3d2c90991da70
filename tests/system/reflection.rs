use prost::Message as _;
use prost_types::FileDescriptorProto;
use teppan_tests::{
    clients,
    harness::{self, Booking, Conversation},
};
use tokio::process::Command;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic_reflection::pb::{v1, v1alpha};

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_reflection_list_the_services() {
    let booking = Booking::start().await.ready().await;
    let channel = clients::channel(booking.service.server.grpc_addr);
    for listed in [list_services(channel.clone()).await, list_services_by_v1alpha(channel).await] {
        for service in booking_service::app::DEFINITION.services.iter().chain(&["grpc.health.v1.Health"]) {
            assert!(listed.iter().any(|name| name == service), "{service} is not among {listed:?}");
        }
        assert!(!listed.iter().any(|name| name.starts_with("teppan.conversation")), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_and_describes_everything_on_both_services() {
    let booking = Booking::start().await.ready().await;
    let conversation = Conversation::start().await.ready().await;
    for (definition, address) in [
        (booking_service::app::DEFINITION, booking.service.server.grpc_addr),
        (conversation_service::app::DEFINITION, conversation.service.server.grpc_addr),
    ] {
        for command in ["list", "describe"] {
            let output = Command::new(harness::home().join("tools/bin/grpcurl"))
                .args(["-plaintext", &address.to_string(), command])
                .output()
                .await
                .expect("grpcurl is installed: deploy/local/setup.sh grpcurl");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{command}: {}{printed}", String::from_utf8_lossy(&output.stderr));
            let reflection = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
            for service in definition.services.iter().chain(&["grpc.health.v1.Health"]).chain(&reflection) {
                assert!(printed.contains(service), "{command}: {service} is missing from {printed}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_the_services_their_messages_and_error_details() {
    let booking = Booking::start().await.ready().await;
    let channel = clients::channel(booking.service.server.grpc_addr);
    for (symbol, package) in [
        ("teppan.booking.v1.BookingService", "teppan.booking.v1"),
        ("teppan.booking.v1.CreateBookingRequest", "teppan.booking.v1"),
        ("grpc.health.v1.Health", "grpc.health.v1"),
        ("google.rpc.ErrorInfo", "google.rpc"),
        ("google.rpc.BadRequest", "google.rpc"),
        ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1alpha"),
    ] {
        let files = describe(channel.clone(), symbol).await;
        assert!(files.iter().any(|file| file.package() == package), "{symbol} is not described");
    }
}

async fn ask(channel: Channel, question: v1::server_reflection_request::MessageRequest) -> Answer {
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers =
        client.server_reflection_info(tokio_stream::iter([request])).await.expect("reflection").into_inner();
    let answer = answers.next().await.expect("an answer").expect("no error");
    answer.message_response.expect("an answer to the question")
}

type Answer = v1::server_reflection_response::MessageResponse;

async fn list_services(channel: Channel) -> Vec<String> {
    let question = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    match ask(channel, question).await {
        Answer::ListServicesResponse(list) => list.service.into_iter().map(|s| s.name).collect(),
        other => panic!("{other:?}"),
    }
}

async fn describe(channel: Channel, symbol: &str) -> Vec<FileDescriptorProto> {
    let question = v1::server_reflection_request::MessageRequest::FileContainingSymbol(symbol.to_owned());
    match ask(channel, question).await {
        Answer::FileDescriptorResponse(described) => {
            let files = described.file_descriptor_proto.iter();
            files.map(|file| FileDescriptorProto::decode(&file[..]).expect("a descriptor")).collect()
        }
        other => panic!("{symbol}: {other:?}"),
    }
}

async fn list_services_by_v1alpha(channel: Channel) -> Vec<String> {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .expect("reflection")
        .into_inner();
    let answer = answers.next().await.expect("an answer").expect("no error");
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => list.service.into_iter().map(|s| s.name).collect(),
        other => panic!("{other:?}"),
    }
}
