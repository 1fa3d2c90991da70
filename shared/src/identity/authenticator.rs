//! Authenticates the caller of a call by its credentials.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header::AUTHORIZATION};
use opentelemetry::{KeyValue, global, metrics::Counter};

use super::{
    Access, Identity, Refused,
    credentials::Credentials,
    issuer::Issuer,
    key_set_source::{FetchedKeys, IssuerKeys},
    settings::{IdentitySettings, KeySetSource, open_key_set},
};
use crate::{
    reloaded::{FileFault, Reloaded},
    tasks::Tasks,
    tls::PeerCertificate,
};

/// The longest token that is checked.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Authenticates the callers of a server.
pub struct Authenticator {
    credentials: Option<Arc<Reloaded<Credentials>>>,
    issuer: Option<Issuer>,
    refused: Counter<u64>,
}

impl Authenticator {
    /// Reads the files of the settings. Changes of the files and of the issuer's keys are followed in the background.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn start(
        settings: &IdentitySettings,
        reload_interval: Duration,
        background: &Tasks,
    ) -> Result<Arc<Self>, FileFault> {
        let credentials = settings.open_credentials()?.map(Arc::new);
        if let Some(credentials) = &credentials {
            let follow = Arc::clone(credentials).follow(reload_interval, background.stopping());
            background.spawn("credentials file", follow);
        }
        let issuer = settings.issuer.clone().map(|issuer| {
            let keys = match &issuer.key_set {
                KeySetSource::File(file) => {
                    let keys = Arc::new(open_key_set(file)?);
                    background.spawn("key set file", Arc::clone(&keys).follow(reload_interval, background.stopping()));
                    IssuerKeys::File(keys)
                }
                KeySetSource::Url(url) => {
                    let keys = Arc::new(FetchedKeys::default());
                    background.spawn("key set", Arc::clone(&keys).fetch(url.clone(), background.stopping()));
                    IssuerKeys::Fetched(keys)
                }
            };
            Ok::<_, FileFault>(Issuer::new(issuer, keys))
        });
        let refused = global::meter("teppan")
            .u64_counter("teppan.identity.refused")
            .with_description("Calls that were refused for their credentials or their caller's roles, by reason.")
            .build();
        let authenticator = Self { credentials, issuer: issuer.transpose()?, refused };
        if !authenticator.allows_anonymous_calls() {
            for reason in Refused::reasons() {
                authenticator.refused.add(0, &[KeyValue::new("reason", reason)]);
            }
        }
        Ok(Arc::new(authenticator))
    }

    /// Whether callers need no credentials.
    pub fn allows_anonymous_calls(&self) -> bool {
        self.credentials.is_none() && self.issuer.is_none()
    }

    /// The caller of a call with these headers, over a connection with this verified certificate. A bearer token takes
    /// precedence over the certificate.
    ///
    /// # Errors
    /// The credentials are missing or not accepted.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
    ) -> Result<Arc<Identity>, Refused> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (Some(_), Some(_)) => Err(Refused::Invalid("more than one authorization")),
            (Some(authorization), None) => {
                let token = authorization.to_str().ok().and_then(bearer);
                self.of_token(token.ok_or(Refused::Invalid("not `Bearer` and a token"))?).await
            }
            (None, _) => self.of_certificate(certificate.ok_or(Refused::Missing)?),
        }
    }

    async fn of_token(&self, token: &str) -> Result<Arc<Identity>, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Invalid("too long"));
        }
        let credentials = self.credentials.as_ref().map(|credentials| credentials.current());
        if let Some(identity) = credentials.as_ref().and_then(|credentials| credentials.by_token(token)) {
            return Ok(Arc::clone(identity));
        }
        match &self.issuer {
            Some(issuer) if token.bytes().filter(|byte| *byte == b'.').count() == 2 => issuer.identity(token).await,
            _ => Err(Refused::Invalid("unknown token")),
        }
    }

    /// The caller with a name in this certificate. The common name counts only when the certificate has no other names.
    fn of_certificate(&self, certificate: &PeerCertificate) -> Result<Arc<Identity>, Refused> {
        let PeerCertificate { common_name, dns_names, uris } = certificate;
        let common_name = common_name.iter().filter(|_| dns_names.is_empty() && uris.is_empty());
        let credentials = self.credentials.as_ref().map(|credentials| credentials.current());
        let mut names = uris.iter().chain(dns_names).chain(common_name);
        let found = credentials.and_then(|known| names.find_map(|name| known.by_certificate(name).cloned()));
        found.ok_or(Refused::Invalid("unknown certificate"))
    }

    /// Counts a refusal.
    pub fn count(&self, refused: &Refused) {
        self.refused.add(1, &[KeyValue::new("reason", refused.reason())]);
    }
}

impl Identity {
    /// # Errors
    /// The caller has none of the required roles.
    pub fn may(&self, access: Access) -> Result<(), Refused> {
        match access {
            Access::Anonymous => Ok(()),
            Access::Roles(roles) if self.roles.share_one(roles) => Ok(()),
            Access::Roles(roles) => Err(Refused::RoleMissing(roles)),
        }
    }
}

/// The token of an `authorization` header. The case of the scheme does not matter.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}
