//! Parses certificates and keys in PEM. Faults contain the name of the setting.

use std::{sync::Arc, time::SystemTime};

use opentelemetry::{KeyValue, global};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::reloaded::FileFault;

/// The names of the settings of a certificate and its key.
#[derive(Debug, Clone, Copy)]
pub struct PairNames {
    pub certificate: &'static str,
    pub key: &'static str,
}

/// A certificate with its chain and key.
#[derive(Debug)]
pub struct Pair {
    pub certified: Arc<CertifiedKey>,
    /// When it expires, in seconds since 1970.
    pub expires_at_s: i64,
}

/// The cryptography provider of every TLS connection. It is explicit because a dependency could add a second provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Pair {
    /// Parses a certificate with its intermediates and its key. They belong together and are valid now.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn read(names: PairNames, certificate: &[u8], key: &[u8]) -> Result<Self, FileFault> {
        let chain = certificates(names.certificate, certificate)?;
        let expires_at_s = check_validity(names.certificate, &chain[0])?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| FileFault::new(names.key, "must be a file of an unencrypted private key in PEM"))?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                FileFault::new(names.key, format!("is not the key of the certificate in {}", names.certificate))
            }
            _ => FileFault::new(names.key, "must be an RSA, ECDSA or Ed25519 key"),
        })?;
        Ok(Self { certified: Arc::new(certified), expires_at_s })
    }

    /// Exports the expiry time of the certificate as a metric; `use_` is its purpose, such as `server`.
    pub fn observe(&self, use_: &'static str) {
        let expires = global::meter("teppan")
            .i64_gauge("teppan.tls.certificate.expires")
            .with_unit("s")
            .with_description("When the certificate in use expires, in Unix time.")
            .build();
        expires.record(self.expires_at_s, &[KeyValue::new("use", use_)]);
    }
}

/// All certificates of a file: at least one.
pub fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    certificates.ok_or_else(|| FileFault::new(setting, "must be a file of certificates in PEM"))
}

/// The authorities of a file: at least one.
pub fn authorities(setting: &'static str, pem: &[u8]) -> Result<RootCertStore, FileFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, pem)? {
        let added = roots.add(certificate);
        added.map_err(|_| FileFault::new(setting, "contains a certificate that cannot be read"))?;
    }
    Ok(roots)
}

/// When the certificate expires, in seconds since 1970.
fn check_validity(setting: &'static str, certificate: &CertificateDer<'_>) -> Result<i64, FileFault> {
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|_| FileFault::new(setting, "contains a certificate that cannot be read"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let validity = certificate.validity();
    if validity.not_after.timestamp() <= now.cast_signed() {
        return Err(FileFault::new(setting, format!("has expired: it was valid until {}", validity.not_after)));
    }
    if validity.not_before.timestamp() > now.cast_signed() {
        return Err(FileFault::new(setting, format!("is not valid before {}", validity.not_before)));
    }
    Ok(validity.not_after.timestamp())
}
