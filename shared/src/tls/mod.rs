//! TLS on both sides: certificates and keys in files, read anew when they change.

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
