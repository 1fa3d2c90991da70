//! TLS: the clients that the servers accept, the servers that the services trust, and files that are replaced.

mod hostile;
mod outgoing;
mod postgres;
mod rotation;
mod server;

use std::{net::SocketAddr, time::Duration};

use teppan_shared::{config::CommonSettings, keys::Keys, tls::ClientCertificates};
use teppan_tests::{
    authority::{Authority, Mounted},
    error_text,
    harness::{self, Conversation},
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A ready conversation-service with these files.
async fn conversation(
    mounted: &Mounted,
    client_certificates: Option<ClientCertificates>,
    change: impl FnOnce(&mut CommonSettings),
) -> Conversation {
    let url = harness::database(&conversation_service::app::DEFINITION).await;
    let keys = Keys::random();
    let mut settings = harness::settings(url.clone(), &keys);
    settings.server.tls = Some(mounted.server_tls(client_certificates));
    change(&mut settings);
    Conversation::with(settings, url, keys).await.ready().await
}

/// An authority, and the files of a server with a certificate from it.
fn authority_and_server() -> (Authority, Mounted) {
    let authority = Authority::new("test authority");
    let mounted = Mounted::new(&authority.server(), &authority.pem());
    (authority, mounted)
}

async fn connect(server: SocketAddr, tls: ClientTlsConfig) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("https://{server}")).expect("a URL");
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).tls_config(tls).map_err(|error| error_text(&error))?;
    endpoint.connect().await.map_err(|error| error_text(&error))
}

/// Calls over a new connection, and returns the error if the call fails.
async fn call(server: SocketAddr, tls: ClientTlsConfig) -> Result<(), String> {
    check(connect(server, tls).await?).await
}

async fn check(channel: Channel) -> Result<(), String> {
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    let answer = tokio::time::timeout(CONNECT_TIMEOUT, HealthClient::new(channel).check(request)).await;
    answer.map_err(|_| "no answer".to_owned())?.map(|_| ()).map_err(|status| error_text(&status))
}
