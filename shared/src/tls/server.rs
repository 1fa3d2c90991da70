//! TLS configuration of the servers.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
};

use super::{
    pem::{Pair, PairNames, authorities, provider},
    settings::{ClientCertificates, ServerTlsSettings},
};
use crate::reloaded::{FileFault, NamedFile, Reloaded};

const CERTIFICATE: &str = "TLS_CERTIFICATE_FILE";
const KEY: &str = "TLS_KEY_FILE";
const CLIENT_CA: &str = "TLS_CLIENT_CA_FILE";

/// The configurations of the servers with one certificate.
#[derive(Debug)]
pub struct ServerConfigs {
    /// For HTTP/2. It requests client certificates if they are configured.
    pub grpc: Arc<ServerConfig>,
    /// For HTTP/1. It never requests client certificates, because clients of webhooks and metrics have none.
    pub http: Arc<ServerConfig>,
}

impl ServerTlsSettings {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(&self) -> Result<Reloaded<ServerConfigs>, FileFault> {
        let mut files = vec![
            NamedFile { setting: CERTIFICATE, path: self.certificate_file.clone() },
            NamedFile { setting: KEY, path: self.key_file.clone() },
        ];
        let client_certificates = self.client_authorities.as_ref().map(|(path, certificates)| {
            files.push(NamedFile { setting: CLIENT_CA, path: path.clone() });
            *certificates
        });
        Reloaded::open("server-certificate", files, move |contents| configs(contents, client_certificates))
    }
}

fn configs(contents: &[Vec<u8>], client_certificates: Option<ClientCertificates>) -> Result<ServerConfigs, FileFault> {
    let pair = Pair::read(PairNames { certificate: CERTIFICATE, key: KEY }, &contents[0], &contents[1])?;
    let verifier = match client_certificates {
        Some(certificates) => verifier(authorities(CLIENT_CA, &contents[2])?, certificates)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let configs = ServerConfigs {
        grpc: Arc::new(config(&pair, verifier, b"h2")?),
        http: Arc::new(config(&pair, WebPkiClientVerifier::no_client_auth(), b"http/1.1")?),
    };
    pair.observe("server");
    Ok(configs)
}

fn verifier(
    authorities: RootCertStore,
    certificates: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, FileFault> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider());
    let verifier = match certificates {
        ClientCertificates::Required => verifier,
        ClientCertificates::Optional => verifier.allow_unauthenticated(),
    };
    verifier.build().map_err(|error| FileFault::new(CLIENT_CA, format!("cannot be used: {error}")))
}

fn config(pair: &Pair, verifier: Arc<dyn ClientCertVerifier>, protocol: &[u8]) -> Result<ServerConfig, FileFault> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| FileFault::new(CERTIFICATE, format!("cannot be used: {error}")))?;
    let resolver = SingleCertAndKey::from(Arc::clone(&pair.certified));
    let mut config = config.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![protocol.to_vec()];
    // No session resumption: a resumed session would rely on a certificate that was checked long ago, and clients keep
    // their connections, so it would save almost nothing.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
