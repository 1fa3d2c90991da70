//! The clients that the server accepts.

use std::{fs, sync::Arc, time::Instant};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use teppan_tests::{authority::Issued, clients, fixtures, harness::Booking, stripe};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Code;

use super::*;

/// A TLS connection for this protocol, of a client that trusts this authority.
pub async fn handshake(
    server: SocketAddr,
    authority: &Authority,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(server).await?;
    TlsConnector::from(Arc::new(config)).connect(server.ip().into(), stream).await
}

pub async fn get(server: SocketAddr, authority: &Authority, path: &str) -> String {
    let mut stream = handshake(server, authority, b"http/1.1").await.expect("a handshake");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    // The server may close the socket without a TLS close_notify.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_trust_the_authority_are_served_and_others_are_not() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |_| {}).await;
    let server = service.service.server.grpc_addr;
    call(server, authority.client_tls(None)).await.expect("the client is served");
    let other = Authority::new("another authority");
    let refused = call(server, other.client_tls(None)).await.expect_err("the client does not trust the server");
    assert!(refused.contains("UnknownIssuer") || refused.contains("invalid peer certificate"), "{refused}");
    let refused = call(server, authority.client_tls(None).domain_name("example.org")).await.expect_err("another name");
    assert!(refused.contains("not valid for name") || refused.contains("NotValidForName"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_served_over_tls_and_requires_no_client_certificate() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, Some(ClientCertificates::Required), |_| {}).await;
    let server = service.service.server.http_addr;
    for (path, body) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let answer = get(server, &authority, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(body), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plaintext_client_gets_an_error_that_names_tls() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, None, |_| {}).await;
    let (grpc, http) = (service.service.server.grpc_addr, service.service.server.http_addr);
    let began = Instant::now();
    let mut plain = clients::conversations(grpc);
    let status = plain.store_message(fixtures::message(&fixtures::conversation_id(), "Hello")).await;
    let status = status.expect_err("the call is refused");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The gRPC code for HTTP/2's INADEQUATE_SECURITY. Clients do not retry it.
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(format!("{status:?}").contains("this address speaks TLS"), "{status:?}");
    let (code, body) = stripe::exchange(http, b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!((code, body.as_str()), (400, "This address speaks TLS: use https.\n"));
    // Clients that use TLS are served meanwhile.
    call(grpc, authority.client_tls(None)).await.expect("the client is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn required_client_certificates_are_checked() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, Some(ClientCertificates::Required), |_| {}).await;
    let server = service.service.server.grpc_addr;
    let answered = async |shown: Option<&Issued>| call(server, authority.client_tls(shown)).await;
    answered(Some(&authority.client("orchestrator"))).await.expect("the client is served");
    answered(None).await.expect_err("the client has no certificate");
    // The server's alert follows the client's handshake. A gRPC client may find the connection closed first.
    let mut bare = handshake(server, &authority, b"h2").await.expect("the client's part of the handshake");
    let refused = bare.read_to_end(&mut Vec::new()).await.expect_err("an alert").to_string();
    assert!(refused.contains("CertificateRequired"), "{refused}");
    answered(Some(&authority.expired(&["orchestrator"]))).await.expect_err("the certificate has expired");
    let other = Authority::new("another authority");
    answered(Some(&other.client("orchestrator"))).await.expect_err("another authority issued the certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_client_certificates_are_checked_when_they_are_shown() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, Some(ClientCertificates::Optional), |_| {}).await;
    let server = service.service.server.grpc_addr;
    let answered = async |shown: Option<&Issued>| call(server, authority.client_tls(shown)).await;
    answered(None).await.expect("the client is served");
    answered(Some(&authority.client("orchestrator"))).await.expect("the client is served");
    let other = Authority::new("another authority");
    answered(Some(&other.client("orchestrator"))).await.expect_err("another authority issued the certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_the_services_over_mutual_tls() {
    let (authority, mounted) = authority_and_server();
    let service = conversation(&mounted, Some(ClientCertificates::Required), |_| {}).await;
    let client = Mounted::new(&authority.client("operator"), &authority.pem());
    let run = async |with_certificate: bool| {
        let mut grpcurl = Command::new(harness::home().join("tools/bin/grpcurl"));
        grpcurl.arg("-cacert").arg(client.authorities()).args(["-max-time", "20", "-connect-timeout", "5"]);
        if with_certificate {
            grpcurl.arg("-cert").arg(client.certificate()).arg("-key").arg(client.key());
        }
        grpcurl.arg(service.service.server.grpc_addr.to_string()).arg("list");
        grpcurl.output().await.expect("grpcurl is installed: deploy/local/setup.sh grpcurl")
    };
    let output = run(true).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("teppan.conversation.v1.ConversationService"), "{printed}{output:?}");
    assert!(!run(false).await.status.success(), "the client has no certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_may_have_an_address_of_its_own() {
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    settings.server.webhook_addr = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let booking = Booking::with(settings, url, keys).await.ready().await;
    let (admin, webhook) = (booking.service.server.http_addr, booking.service.server.webhook_addr.expect("one"));
    let status = async |address, request: &str| stripe::exchange(address, request.as_bytes()).await.0;
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let post = "POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for path in ["/livez", "/readyz"] {
        assert_eq!((status(admin, &get(path)).await, status(webhook, &get(path)).await), (200, 404), "{path}");
    }
    assert_eq!(status(webhook, &get("/metrics")).await, 404);
    assert_eq!(status(admin, post).await, 404);
    assert_ne!(status(webhook, post).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanished_before_the_start_is_reported_with_its_setting() {
    let (_, mounted) = authority_and_server();
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url, &keys);
    settings.server.tls = Some(mounted.server_tls(None));
    fs::remove_file(mounted.key()).expect("removed");
    // Boxed, because the future is large.
    let started = Box::pin(booking_service::app::start(&harness::booking_settings(settings), None)).await;
    let error = started.err().expect("the service does not start").to_string();
    assert!(error.contains("TLS_KEY_FILE: cannot be read"), "{error}");
}
