//! The OTLP exporters of traces and metrics, over gRPC or HTTP.

use std::{sync::Arc, thread};

use opentelemetry_otlp::{
    Compression, ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::metrics::Temporality;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};
use secrecy::ExposeSecret as _;
use tonic::{
    metadata::MetadataMap,
    transport::{Certificate, ClientTlsConfig, Identity},
};

use crate::config::{OtlpProtocol, OtlpSettings, TlsSettings};

/// Why an exporter could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    #[error(transparent)]
    Build(#[from] ExporterBuildError),
    #[error("certificates and key of OTEL_EXPORTER_OTLP_… cannot be used together")]
    Tls(#[from] rustls::Error),
    #[error("a certificate or key of OTEL_EXPORTER_OTLP_… cannot be read")]
    Pem(#[from] pem::Error),
    #[error("the machine trusts no certificates: name those of the receiver in OTEL_EXPORTER_OTLP_CERTIFICATE")]
    NoAuthorities,
    #[error("the HTTP client cannot be built")]
    Http(#[from] reqwest::Error),
}

/// Builds the exporter of traces. It connects when the first batch is sent.
pub(super) fn of_traces(settings: &OtlpSettings) -> Result<SpanExporter, ExporterError> {
    let builder = SpanExporter::builder();
    Ok(match settings.protocol {
        OtlpProtocol::Grpc => over_grpc(builder.with_tonic(), settings).build()?,
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), settings)?.build()?,
    })
}

/// Builds the exporter of metrics. It connects when they are first sent.
pub(super) fn of_metrics(settings: &OtlpSettings, temporality: Temporality) -> Result<MetricExporter, ExporterError> {
    let builder = MetricExporter::builder().with_temporality(temporality);
    Ok(match settings.protocol {
        OtlpProtocol::Grpc => over_grpc(builder.with_tonic(), settings).build()?,
        OtlpProtocol::HttpProtobuf => over_http(builder.with_http(), settings)?.build()?,
    })
}

fn over_grpc<B: WithExportConfig + WithTonicConfig>(builder: B, settings: &OtlpSettings) -> B {
    let mut builder = builder
        .with_endpoint(settings.endpoint.as_str())
        .with_timeout(settings.timeout)
        .with_metadata(MetadataMap::from_headers(settings.headers.clone()));
    if settings.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    if settings.endpoint.scheme() == "https" {
        let mut tls = match &settings.tls.authorities {
            Some(authorities) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificate, key)) = &settings.tls.identity {
            tls = tls.identity(Identity::from_pem(certificate, key.expose_secret()));
        }
        builder = builder.with_tls_config(tls);
    }
    builder
}

fn over_http<B: WithExportConfig + WithHttpConfig>(builder: B, settings: &OtlpSettings) -> Result<B, ExporterError> {
    let (authorities, tls) = tls(&settings.tls)?;
    if settings.endpoint.scheme() == "https" && authorities == 0 {
        return Err(ExporterError::NoAuthorities);
    }
    // The client needs a TLS configuration even for http://: the library is built without a default one.
    let client = reqwest::blocking::Client::builder().timeout(settings.timeout).tls_backend_preconfigured(tls);
    // A blocking client makes a runtime of its own, which is not allowed on a thread of another runtime.
    let client = thread::spawn(|| client.build()).join().expect("making a client does not panic")?;
    let headers = settings.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), String::from_utf8(value.as_bytes().to_vec()).ok()?))
    });
    let mut builder = builder
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(client)
        .with_endpoint(settings.endpoint.as_str())
        .with_timeout(settings.timeout)
        .with_headers(headers.collect());
    if settings.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    Ok(builder)
}

/// The number of trusted authorities, and the TLS configuration with them.
fn tls(settings: &TlsSettings) -> Result<(usize, ClientConfig), ExporterError> {
    let mut roots = RootCertStore::empty();
    match &settings.authorities {
        Some(authorities) => {
            for certificate in certificates(authorities) {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let authorities = roots.len();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match &settings.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate).collect::<Result<Vec<_>, _>>()?;
            config.with_client_auth_cert(chain, private_key(key.expose_secret())?)?
        }
    };
    Ok((authorities, config))
}

fn certificates(text: &str) -> impl Iterator<Item = Result<CertificateDer<'static>, pem::Error>> {
    CertificateDer::pem_slice_iter(text.as_bytes())
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, pem::Error> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
}
