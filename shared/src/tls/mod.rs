//! TLS on both sides: certificates and keys in files, read anew when they change.

mod peer_certificate;

pub use self::peer_certificate::PeerCertificate;
