//! A certificate authority for tests, and the files of its certificates.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;
use teppan_shared::tls::{ClientCertificates, ServerTlsSettings};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, key()).expect("an authority"))
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these DNS names and IP addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_changed(names, |_| {})
    }

    /// A certificate for a server on this machine.
    pub fn server(&self) -> Issued {
        self.issue(&["127.0.0.1", "localhost"])
    }

    /// A certificate of a client with this common name, and its URI.
    pub fn client(&self, name: &str) -> Issued {
        self.issue_changed(&[], |parameters| {
            parameters.distinguished_name.push(DnType::CommonName, name);
            let uri = format!("spiffe://example.org/{name}");
            parameters.subject_alt_names.push(SanType::URI(uri.as_str().try_into().expect("ASCII")));
        })
    }

    /// A certificate that has expired.
    pub fn expired(&self, names: &[&str]) -> Issued {
        self.issue_changed(names, |parameters| parameters.not_after = date_time_ymd(2024, 1, 1))
    }

    fn issue_changed(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).expect("names");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut parameters);
        let key = key();
        let certificate = parameters.signed_by(&key, &self.0).expect("signed");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The TLS settings of a client that trusts this authority, and presents this certificate.
    pub fn client_tls(&self, shown: Option<&Issued>) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.pem()));
        match shown {
            Some(shown) => tls.identity(Identity::from_pem(&shown.certificate, &shown.key)),
            None => tls,
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// A folder of certificates, mounted as Kubernetes mounts secrets: the files are links through a link that is replaced.
pub struct Mounted {
    folder: TempDir,
    versions: u32,
}

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

impl Mounted {
    /// A certificate with its key, and the authorities that the other side must be signed by.
    pub fn new(issued: &Issued, authorities: &str) -> Self {
        let mut mounted = Self { folder: tempfile::tempdir().expect("a folder"), versions: 0 };
        mounted.replace(issued, authorities);
        for name in [CERTIFICATE, KEY, AUTHORITIES] {
            symlink(format!("..data/{name}"), mounted.folder.path().join(name)).expect("a link");
        }
        mounted
    }

    /// Replaces all files at once.
    pub fn replace(&mut self, issued: &Issued, authorities: &str) {
        self.versions += 1;
        let version = format!("..{}", self.versions);
        let folder = self.folder.path().join(&version);
        fs::create_dir(&folder).expect("a folder");
        for (name, text) in [(CERTIFICATE, &*issued.certificate), (KEY, &*issued.key), (AUTHORITIES, authorities)] {
            fs::write(folder.join(name), text).expect("written");
        }
        let swap = self.folder.path().join("..swap");
        symlink(version, &swap).expect("a link");
        fs::rename(swap, self.folder.path().join("..data")).expect("swapped");
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join(CERTIFICATE)
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join(KEY)
    }

    pub fn authorities(&self) -> PathBuf {
        self.folder.path().join(AUTHORITIES)
    }

    /// The TLS settings of a server with these files.
    pub fn server_tls(&self, client_certificates: Option<ClientCertificates>) -> ServerTlsSettings {
        ServerTlsSettings {
            certificate_file: self.certificate(),
            key_file: self.key(),
            client_authorities: client_certificates.map(|certificates| (self.authorities(), certificates)),
        }
    }
}
