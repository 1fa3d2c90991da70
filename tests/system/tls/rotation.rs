//! TLS files that are replaced while a service runs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use tokio::task::JoinSet;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::{server::handshake, *};
use crate::logs::log_of;

/// The certificate that a server presents.
async fn shown(server: SocketAddr, authority: &Authority) -> CertificateDer<'static> {
    let stream = handshake(server, authority, b"h2").await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("certificates")[0].clone().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_under_load_and_no_call_fails() {
    static DONE: AtomicBool = AtomicBool::new(false);
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let (authority, mut mounted) = authority_and_server();
    let service = conversation(&mounted, None, |_| {}).await;
    let server = service.service.server.grpc_addr;
    let mut load = JoinSet::new();
    for client in 0..4 {
        let tls = authority.client_tls(None);
        let kept = connect(server, tls.clone()).await.expect("connected");
        load.spawn(async move {
            while !DONE.load(Relaxed) {
                // Half of the clients keep their connection; the others open one for each call.
                let answer = if client % 2 == 0 { check(kept.clone()).await } else { call(server, tls.clone()).await };
                answer.expect("no call fails");
                CALLS.fetch_add(1, Relaxed);
            }
        });
    }
    for _ in 0..3 {
        let before = shown(server, &authority).await;
        let calls = CALLS.load(Relaxed);
        mounted.replace(&authority.server(), &authority.pem());
        harness::eventually("the server presents the new certificate", async || {
            shown(server, &authority).await != before
        })
        .await;
        harness::eventually("calls go on", async || CALLS.load(Relaxed) > calls + 8).await;
    }
    DONE.store(true, Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.expect("no call fails");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_client_authority_file_takes_effect() {
    let (authority, mut mounted) = authority_and_server();
    let service = conversation(&mounted, Some(ClientCertificates::Required), |_| {}).await;
    let server = service.service.server.grpc_addr;
    let next = Authority::new("next authority");
    let (old, new) = (authority.client("orchestrator"), next.client("orchestrator"));
    let answered = async |shown| call(server, authority.client_tls(Some(shown))).await.is_ok();
    assert!(answered(&old).await && !answered(&new).await);
    // During the change both authorities are trusted.
    mounted.replace(&authority.server(), &format!("{}{}", authority.pem(), next.pem()));
    harness::eventually("the new certificate is accepted", async || answered(&new).await).await;
    assert!(answered(&old).await);
    mounted.replace(&authority.server(), &next.pem());
    harness::eventually("the old certificate is refused", async || !answered(&old).await).await;
    assert!(answered(&new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_leave_the_old_certificate_in_force_and_are_reported_in_log_and_metrics() {
    let (authority, mut mounted) = authority_and_server();
    let good = authority.server();
    mounted.replace(&good, &authority.pem());
    let url = harness::database(&booking_service::app::DEFINITION).await;
    let (certificate, key) = (mounted.certificate(), mounted.key());
    let settings = [
        ("TLS_CERTIFICATE_FILE", certificate.to_str().expect("UTF-8")),
        ("TLS_KEY_FILE", key.to_str().expect("UTF-8")),
        ("RELOAD_INTERVAL_MS", "50"),
    ];
    let log = log_of(&url, &settings, async |service| {
        let old = shown(service.grpc, &authority).await;
        let metric = async |name: &str| {
            let metrics = super::server::get(service.http, &authority, "/metrics").await;
            let line = metrics.lines().find(|line| line.starts_with(name)).map(ToOwned::to_owned);
            line.unwrap_or_else(|| panic!("{name} is missing from {metrics}"))
        };
        let unusable = "teppan_files_unusable{files=\"server-certificate\"";
        assert!(metric(unusable).await.ends_with(" 0"));
        assert!(metric("teppan_tls_certificate_expires").await.contains("use=\"server\""));

        let mut mismatched = authority.server();
        mismatched.key.clone_from(&good.key);
        mounted.replace(&mismatched, &authority.pem());
        service.until_logged("TLS_KEY_FILE: is not the key of the certificate in TLS_CERTIFICATE_FILE").await;
        assert_eq!(shown(service.grpc, &authority).await, old);
        assert!(metric(unusable).await.ends_with(" 1"));
        mounted.replace(&authority.expired(&["127.0.0.1"]), &authority.pem());
        service.until_logged("TLS_CERTIFICATE_FILE: has expired").await;
        assert_eq!(shown(service.grpc, &authority).await, old);

        mounted.replace(&authority.server(), &authority.pem());
        service.until_logged("changed files are in use").await;
        assert_ne!(shown(service.grpc, &authority).await, old);
        assert!(metric(unusable).await.ends_with(" 0"));
    })
    .await;
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}
