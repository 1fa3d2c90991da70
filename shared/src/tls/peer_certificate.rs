//! The names in a client's certificate.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// The names in a verified client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The first common name of the subject. New certificates often have none.
    pub common_name: Option<String>,
    /// The DNS names among the subject alternative names.
    pub dns_names: Vec<String>,
    /// The URIs among the subject alternative names, such as `spiffe://example.org/orchestrator`.
    pub uris: Vec<String>,
}

/// The names of a certificate cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the names in the certificate cannot be read")]
pub struct UnreadableNames;

impl PeerCertificate {
    /// The names of a certificate, which must already be verified.
    ///
    /// # Errors
    /// [`UnreadableNames`].
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, UnreadableNames> {
        let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| UnreadableNames)?;
        let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let mut names = Self { common_name: common_name.map(ToOwned::to_owned), ..Self::default() };
        let alternatives = certificate.subject_alternative_name().map_err(|_| UnreadableNames)?;
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                _ => {}
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: Option<&str>, names: Vec<SanType>) -> CertificateDer<'static> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common_name {
            parameters.distinguished_name.push(DnType::CommonName, name);
        }
        parameters.subject_alt_names = names;
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_common_name_dns_names_and_uris_of_a_certificate_are_read() {
        let names = vec![
            SanType::DnsName("orchestrator.example.org".try_into().unwrap()),
            SanType::URI("spiffe://example.org/orchestrator".try_into().unwrap()),
            SanType::Rfc822Name("user@example.org".try_into().unwrap()),
        ];
        let read = PeerCertificate::read(&certificate(Some("orchestrator"), names)).unwrap();
        assert_eq!(read.common_name.as_deref(), Some("orchestrator"));
        assert_eq!(read.dns_names, ["orchestrator.example.org"]);
        assert_eq!(read.uris, ["spiffe://example.org/orchestrator"]);
    }

    #[test]
    fn a_certificate_may_have_no_names() {
        assert_eq!(PeerCertificate::read(&certificate(None, Vec::new())), Ok(PeerCertificate::default()));
        assert_eq!(PeerCertificate::read(&CertificateDer::from_slice(b"no certificate")), Err(UnreadableNames));
    }
}
