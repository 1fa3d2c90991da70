//! The settings of the server's TLS.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Problems;

/// The settings of the server's TLS, not yet validated.
#[derive(Args)]
pub struct TlsArgs {
    /// File of the servers' certificate and its intermediates, in PEM. With it, gRPC and HTTP are served only over TLS.
    /// It is read again when it changes, and so are the two files below
    #[arg(long, env = "TLS_CERTIFICATE_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    tls_certificate_file: Option<PathBuf>,
    /// File of the private key of TLS_CERTIFICATE_FILE, in PEM
    #[arg(long, env = "TLS_KEY_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    tls_key_file: Option<PathBuf>,
    /// File of the certificate authorities, in PEM, that sign the certificates of gRPC clients. Without it, no client
    /// certificate is requested
    #[arg(long, env = "TLS_CLIENT_CA_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    tls_client_ca_file: Option<PathBuf>,
    /// Whether gRPC clients must have a certificate: required, or optional (a certificate must still be valid). The
    /// default is required when TLS_CLIENT_CA_FILE is given
    #[arg(long, env = "TLS_CLIENT_CERTIFICATES", hide_env_values = true, value_name = "WHICH", global = true)]
    tls_client_certificates: Option<String>,
}

/// The files of the server's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsSettings {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The file of the authorities of client certificates, and whether clients must have one.
    pub client_authorities: Option<(PathBuf, ClientCertificates)>,
}

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    Required,
    Optional,
}

impl TlsArgs {
    /// Whether the settings request TLS, even if they are invalid.
    pub fn are_given(&self) -> bool {
        given(self.tls_certificate_file.as_deref()).is_some() || given(self.tls_key_file.as_deref()).is_some()
    }

    /// `None` when a setting is invalid; `problems` then has the reason. `Some(None)` when there is no TLS.
    pub fn parse(&self, problems: &mut Problems) -> Option<Option<ServerTlsSettings>> {
        let client_certificates = match self.tls_client_certificates.as_deref().map(str::trim) {
            None | Some("") => Some(None),
            Some("required") => Some(Some(ClientCertificates::Required)),
            Some("optional") => Some(Some(ClientCertificates::Optional)),
            Some(_) => {
                problems.add("TLS_CLIENT_CERTIFICATES", "must be required or optional");
                None
            }
        };
        let client_ca = given(self.tls_client_ca_file.as_deref());
        if client_ca.is_none() && client_certificates.flatten().is_some() {
            problems.add("TLS_CLIENT_CERTIFICATES", "is of no use without TLS_CLIENT_CA_FILE");
        }
        let certificate = ("TLS_CERTIFICATE_FILE", given(self.tls_certificate_file.as_deref()));
        let key = ("TLS_KEY_FILE", given(self.tls_key_file.as_deref()));
        let Some((certificate, key)) = problems.both(certificate, key)? else {
            if client_ca.is_some() {
                problems.add("TLS_CLIENT_CA_FILE", "is of no use without TLS_CERTIFICATE_FILE");
            }
            return Some(None);
        };
        let client_certificates = client_certificates?.unwrap_or(ClientCertificates::Required);
        let settings = ServerTlsSettings {
            certificate_file: certificate.to_owned(),
            key_file: key.to_owned(),
            client_authorities: client_ca.map(|path| (path.to_owned(), client_certificates)),
        };
        // The files are read again when the servers start.
        if let Err(fault) = settings.open() {
            problems.add(fault.setting, fault.problem);
            return None;
        }
        Some(Some(settings))
    }
}

/// The path; `None` if it is empty, which is reported elsewhere.
fn given(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.as_os_str().is_empty())
}
