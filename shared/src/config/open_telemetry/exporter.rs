//! The settings of the OTLP exporter. A variable for traces takes precedence over the one for all signals.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::SecretString;
use url::Url;

use super::{OpenTelemetryArgs, Problems, flag, given, number, only, pairs};

/// Where and how traces are sent.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    pub protocol: OtlpProtocol,
    /// With its scheme, and for HTTP with its whole path.
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

/// The value of the first of two variables that is set, with its name.
struct Either<'a>(&'static str, Option<&'a str>);

impl<'a> Either<'a> {
    fn of(traces: (&'static str, &'a Option<String>), all: (&'static str, &'a Option<String>)) -> Self {
        match given(traces.1.as_deref()) {
            Some(value) => Self(traces.0, Some(value)),
            None => Self(all.0, given(all.1.as_deref())),
        }
    }
}

impl OtlpSettings {
    /// `None` when something was wrong, which `problems` then names; `Some(None)` when nothing is to be sent.
    pub(super) fn parse(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Option<Self>> {
        let exporter = only("OTEL_TRACES_EXPORTER", args.otel_traces_exporter.as_deref(), &["otlp", "none"], problems);
        let protocol = parse_protocol(args, problems);
        let insecure = parse_insecure(args, problems);
        let endpoint = protocol.zip(insecure);
        let endpoint = endpoint.and_then(|(protocol, insecure)| parse_endpoint(args, protocol, insecure, problems));
        let headers = parse_headers(args, problems);
        let timeout = parse_timeout(args, problems);
        let Either(name, compression) = Either::of(
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", &args.otel_exporter_otlp_traces_compression),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", &args.otel_exporter_otlp_compression),
        );
        let compression = only(name, compression, &["gzip", "none"], problems);
        let tls = TlsSettings::parse(args, problems);
        let (protocol, endpoint, headers, timeout, tls) = (protocol?, endpoint?, headers?, timeout?, tls?);
        let endpoint = match (exporter, endpoint) {
            (Some("none"), _) | (None, None) => return Some(None),
            (_, Some(endpoint)) => endpoint,
            // The specification's defaults.
            (Some(_), None) => Url::parse(match protocol {
                OtlpProtocol::Grpc => "http://localhost:4317",
                OtlpProtocol::HttpProtobuf => "http://localhost:4318/v1/traces",
            })
            .ok()?,
        };
        Some(Some(Self { protocol, endpoint, headers, timeout, gzip: compression == Some("gzip"), tls }))
    }
}

fn parse_protocol(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<OtlpProtocol> {
    let Either(name, value) = Either::of(
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", &args.otel_exporter_otlp_traces_protocol),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", &args.otel_exporter_otlp_protocol),
    );
    match only(name, value, &["grpc", "http/protobuf"], problems) {
        None | Some("grpc") => Some(OtlpProtocol::Grpc),
        Some("http/protobuf") => Some(OtlpProtocol::HttpProtobuf),
        Some(_) => None,
    }
}

fn parse_insecure(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<bool> {
    let Either(name, value) = Either::of(
        ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", &args.otel_exporter_otlp_traces_insecure),
        ("OTEL_EXPORTER_OTLP_INSECURE", &args.otel_exporter_otlp_insecure),
    );
    flag(name, value, problems)
}

/// `Some(None)` when none is given.
fn parse_endpoint(
    args: &OpenTelemetryArgs,
    protocol: OtlpProtocol,
    insecure: bool,
    problems: &mut Problems,
) -> Option<Option<Url>> {
    let Either(name, value) = Either::of(
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &args.otel_exporter_otlp_traces_endpoint),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &args.otel_exporter_otlp_endpoint),
    );
    let Some(value) = value else { return Some(None) };
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
    if protocol == OtlpProtocol::HttpProtobuf && name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Some(Some(url))
}

fn parse_headers(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<HeaderMap> {
    let Either(name, value) = Either::of(
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", &args.otel_exporter_otlp_traces_headers),
        ("OTEL_EXPORTER_OTLP_HEADERS", &args.otel_exporter_otlp_headers),
    );
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name).ok()?, value))
    };
    let headers = pairs(value).and_then(|pairs| pairs.into_iter().map(header).collect());
    if headers.is_none() {
        problems.add(name, "must be name=value,name=value, percent-encoded");
    }
    headers
}

/// Two variables bound the sending of a batch: that of the exporter, and that of the batch processor.
fn parse_timeout(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Duration> {
    let Either(name, value) = Either::of(
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", &args.otel_exporter_otlp_traces_timeout),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", &args.otel_exporter_otlp_timeout),
    );
    let sending_ms = number(name, value, 10_000, 1, problems);
    let batch_ms = number("OTEL_BSP_EXPORT_TIMEOUT", args.otel_bsp_export_timeout.as_deref(), 30_000, 1, problems);
    Some(Duration::from_millis(sending_ms?.min(batch_ms?).into()))
}

impl TlsSettings {
    fn parse(args: &OpenTelemetryArgs, problems: &mut Problems) -> Option<Self> {
        let Either(name, value) = Either::of(
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &args.otel_exporter_otlp_traces_certificate),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &args.otel_exporter_otlp_certificate),
        );
        let authorities = value.map(|path| certificates(name, path, problems));
        let Either(name, value) = Either::of(
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", &args.otel_exporter_otlp_traces_client_certificate),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &args.otel_exporter_otlp_client_certificate),
        );
        let certificate = value.map(|path| certificates(name, path, problems));
        let Either(key_name, value) = Either::of(
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", &args.otel_exporter_otlp_traces_client_key),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &args.otel_exporter_otlp_client_key),
        );
        let key = value.map(|path| key(key_name, path, problems));
        if certificate.is_some() != key.is_some() {
            let (missing, there) = if key.is_some() { (name, key_name) } else { (key_name, name) };
            problems.add(missing, format_args!("is missing: {there} goes with it"));
            return None;
        }
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate?, key?)),
            _ => None,
        };
        // A file that cannot be used is an error; no file is not.
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
