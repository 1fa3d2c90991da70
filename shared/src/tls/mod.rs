//! TLS for servers and clients. Certificates and keys are in files, which are read again when they change.

mod client;
mod peer_certificate;
pub(crate) mod pem;
mod server;
mod settings;

pub use self::{
    client::{ClientTls, ClientTlsSettings, connect_lazy, endpoint},
    peer_certificate::PeerCertificate,
    server::ServerConfigs,
    settings::{ClientCertificates, ServerTlsSettings, TlsArgs},
};
