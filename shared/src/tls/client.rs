//! TLS connections to other services. Each new connection uses the current files.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use super::pem::{Pair, PairNames, authorities, provider};
use crate::{
    log_limiter::LogLimiter,
    reloaded::{FileFault, NamedFile, Reloaded},
};

/// The setting to use if the machine trusts no authorities.
const AUTHORITIES: &str = "CONVERSATION_SERVICE_CA_FILE";
/// The port of a URL without one.
const HTTPS_PORT: u16 = 443;

/// The files of a client's TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTlsSettings {
    /// The authorities that may sign the server's certificate, instead of those the machine trusts.
    pub authorities: Option<NamedFile>,
    /// The client's certificate and its key.
    pub pair: Option<(NamedFile, NamedFile)>,
}

/// The configuration of new connections.
pub type ClientTls = Reloaded<Arc<ClientConfig>>;

impl ClientTlsSettings {
    /// Reads the files. `name` is the other service, for the log and the metrics.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(&self, name: &'static str) -> Result<ClientTls, FileFault> {
        let mut files: Vec<_> = self.authorities.iter().cloned().collect();
        files.extend(self.pair.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]));
        let authorities = self.authorities.as_ref().map(|file| file.setting);
        let pair = self.pair.as_ref();
        let pair = pair.map(|(certificate, key)| PairNames { certificate: certificate.setting, key: key.setting });
        Reloaded::open(name, files, move |contents| config(contents, authorities, pair, name).map(Arc::new))
    }
}

fn config(
    contents: &[Vec<u8>],
    authorities_setting: Option<&'static str>,
    pair: Option<PairNames>,
    name: &'static str,
) -> Result<ClientConfig, FileFault> {
    let mut contents = contents.iter();
    let mut next = || contents.next().map(Vec::as_slice).unwrap_or_default();
    let roots = match authorities_setting {
        Some(setting) => authorities(setting, next())?,
        None => trusted_by_the_machine()?,
    };
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let cannot = |error: rustls::Error| FileFault::new(name, format!("cannot be reached by TLS: {error}"));
    let config = config.map_err(cannot)?.with_root_certificates(roots);
    let mut config = match pair {
        None => config.with_no_client_auth(),
        Some(names) => {
            let pair = Pair::read(names, next(), next())?;
            pair.observe(name);
            config.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair.certified)))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn trusted_by_the_machine() -> Result<RootCertStore, FileFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(FileFault::new(AUTHORITIES, "must be set, because the machine trusts no authorities"));
    }
    Ok(roots)
}

/// The endpoint of a URL with `https`, for [`connect_lazy`].
pub fn endpoint(url: Uri) -> Endpoint {
    // The library refuses `https` if it does not make the TLS connection itself. The origin sets the scheme and
    // authority of the calls.
    let mut parts = url.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    let port = url.port_u16().unwrap_or(HTTPS_PORT);
    let authority = url.host().and_then(|host| format!("{host}:{port}").parse().ok());
    parts.authority = authority.or(parts.authority);
    parts.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
    let beneath = Uri::from_parts(parts).unwrap_or_else(|_| url.clone());
    Endpoint::from(beneath).origin(url)
}

/// A channel over TLS that connects at the first use, and reconnects when the connection is lost.
pub fn connect_lazy(endpoint: &Endpoint, tls: Arc<ClientTls>) -> Channel {
    let failing = Arc::new(Mutex::new(LogLimiter::default()));
    endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
        let (tls, failing) = (Arc::clone(&tls), Arc::clone(&failing));
        async move {
            let connected = connect(&uri, &tls).await;
            if let Err(error) = &connected {
                let times = failing.lock().unwrap_or_else(PoisonError::into_inner).record();
                if let Some(times) = times {
                    tracing::warn!(server = %uri, %error, times, "TLS connection failed");
                }
            }
            connected.map(TokioIo::new)
        }
    }))
}

async fn connect(uri: &Uri, tls: &ClientTls) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    // The brackets of an IPv6 address in a URL are not part of the address.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTPS_PORT))).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::clone(&*tls.current())).connect(name, stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_of_an_https_url_connects_to_its_host_and_port() {
        for (url, expected) in [
            ("https://conversation.example.org", "http://conversation.example.org:443/"),
            ("https://[::1]:50052", "http://[::1]:50052/"),
        ] {
            assert_eq!(endpoint(url.parse().unwrap()).uri().to_string(), expected);
        }
    }
}
