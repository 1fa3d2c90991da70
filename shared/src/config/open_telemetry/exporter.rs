//! The settings of an OTLP exporter.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::SecretString;
use url::Url;

use super::{Problems, Signal, flag, number, only, pairs};

/// The settings for sending a signal.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    pub protocol: OtlpProtocol,
    /// With its scheme; for HTTP also with its whole path.
    pub endpoint: Url,
    /// Their values are secret.
    pub headers: HeaderMap,
    /// Longest time of sending a batch.
    pub timeout: Duration,
    pub gzip: bool,
    pub tls: TlsSettings,
}

/// The transport of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    Grpc,
    HttpProtobuf,
}

/// Certificates for an endpoint with TLS, in PEM.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// The authorities that may sign the receiver's certificate, instead of those the machine trusts.
    pub authorities: Option<String>,
    /// This process's certificate and its key.
    pub identity: Option<(String, SecretString)>,
}

impl OtlpSettings {
    /// `None` when a setting is invalid; `problems` then has the reason.
    pub(super) fn parse(signal: &Signal<'_>, problems: &mut Problems) -> Option<Self> {
        let protocol = parse_protocol(signal, problems);
        let insecure = flag(signal.insecure.name, signal.insecure.value, problems);
        let endpoint = protocol.zip(insecure);
        let endpoint = endpoint.and_then(|(protocol, insecure)| parse_endpoint(signal, protocol, insecure, problems));
        let headers = parse_headers(signal, problems);
        let timeout = parse_timeout(signal, problems);
        let compression = only(signal.compression.name, signal.compression.value, &["gzip", "none"], problems);
        let tls = TlsSettings::parse(signal, problems);
        Some(Self {
            protocol: protocol?,
            endpoint: endpoint?,
            headers: headers?,
            timeout: timeout?,
            gzip: compression == Some("gzip"),
            tls: tls?,
        })
    }
}

fn parse_protocol(signal: &Signal<'_>, problems: &mut Problems) -> Option<OtlpProtocol> {
    match only(signal.protocol.name, signal.protocol.value, &["grpc", "http/protobuf"], problems) {
        None | Some("grpc") => Some(OtlpProtocol::Grpc),
        Some("http/protobuf") => Some(OtlpProtocol::HttpProtobuf),
        Some(_) => None,
    }
}

/// The given endpoint, or the specification's default.
fn parse_endpoint(signal: &Signal<'_>, protocol: OtlpProtocol, insecure: bool, problems: &mut Problems) -> Option<Url> {
    let name = signal.endpoint.name;
    let Some(value) = signal.endpoint.value else {
        let default = match protocol {
            OtlpProtocol::Grpc => "http://localhost:4317".to_owned(),
            OtlpProtocol::HttpProtobuf => format!("http://localhost:4318/{}", signal.path),
        };
        return Url::parse(&default).ok();
    };
    let value = match protocol {
        OtlpProtocol::Grpc if !value.contains("://") => {
            format!("{}://{value}", if insecure { "http" } else { "https" })
        }
        _ => value.to_owned(),
    };
    let sound = Url::parse(&value).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    let Some(mut url) = sound else {
        problems.add(name, "must be a URL such as http://127.0.0.1:4317, or https://collector.example.org:4318");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        problems.add(
            name,
            "must be without user and password: put what the receiver asks for into OTEL_EXPORTER_OTLP_HEADERS",
        );
        return None;
    }
    if protocol == OtlpProtocol::HttpProtobuf && !signal.endpoint.is_given_for_the_signal() {
        let path = format!("{}/{}", url.path().trim_end_matches('/'), signal.path);
        url.set_path(&path);
    }
    Some(url)
}

fn parse_headers(signal: &Signal<'_>, problems: &mut Problems) -> Option<HeaderMap> {
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name).ok()?, value))
    };
    let headers = pairs(signal.headers.value).and_then(|pairs| pairs.into_iter().map(header).collect());
    if headers.is_none() {
        problems.add(signal.headers.name, "must be name=value,name=value, percent-encoded");
    }
    headers
}

/// Two variables limit the time of sending: that of the exporter and that of the batch processor.
fn parse_timeout(signal: &Signal<'_>, problems: &mut Problems) -> Option<Duration> {
    let sending_ms = number(signal.timeout.name, signal.timeout.value, 10_000, 1, problems);
    let batch_ms = number(signal.batch_timeout.name, signal.batch_timeout.value, 30_000, 1, problems);
    Some(Duration::from_millis(sending_ms?.min(batch_ms?).into()))
}

impl TlsSettings {
    fn parse(signal: &Signal<'_>, problems: &mut Problems) -> Option<Self> {
        let Signal { certificate: authorities, client_certificate, client_key, .. } = signal;
        let (name, key_name) = (client_certificate.name, client_key.name);
        let authorities = authorities.value.map(|path| certificates(authorities.name, path, problems));
        let certificate = client_certificate.value.map(|path| certificates(name, path, problems));
        let key = client_key.value.map(|path| key(key_name, path, problems));
        if certificate.is_some() != key.is_some() {
            let (missing, there) = if key.is_some() { (name, key_name) } else { (key_name, name) };
            problems.add(missing, format_args!("is missing: {there} goes with it"));
            return None;
        }
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate?, key?)),
            _ => None,
        };
        // An unusable file is an error; a missing setting is not.
        let authorities = match authorities {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Self { authorities, identity })
    }
}

/// The text of a file of certificates.
fn certificates(name: &str, path: &str, problems: &mut Problems) -> Option<String> {
    let text = problems.read(name, Path::new(path))?;
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        problems.add(name, "must be a file of certificates in PEM");
        return None;
    }
    Some(text)
}

fn key(name: &str, path: &str, problems: &mut Problems) -> Option<SecretString> {
    let text = problems.read(name, Path::new(path))?;
    if PrivateKeyDer::from_pem_slice(text.as_bytes()).is_err() {
        problems.add(name, "must be a file of a private key in PEM");
        return None;
    }
    Some(SecretString::from(text))
}
