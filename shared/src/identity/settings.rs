//! The settings of callers' credentials.

use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use super::{credentials::Credentials, key_set::KeySet, key_set_source};
use crate::{
    audit::AuditTarget,
    config::Problems,
    reloaded::{FileFault, NamedFile, Reloaded},
};

const CREDENTIALS_FILE: &str = "CREDENTIALS_FILE";
const OIDC_KEY_SET: &str = "OIDC_KEY_SET";

/// The settings, not yet validated.
#[derive(Args)]
pub struct IdentityArgs {
    /// File of callers in TOML: name, roles, and the hash of a token or the names in client certificates; `token
    /// create` makes an entry. It is read again when it changes. Without it and OIDC_ISSUER every caller may call
    /// everything
    #[arg(long, env = "CREDENTIALS_FILE", hide_env_values = true, value_name = "PATH", global = true)]
    credentials_file: Option<PathBuf>,
    /// Issuer whose JWTs are accepted as bearer tokens: their claim `iss`
    #[arg(long, env = "OIDC_ISSUER", hide_env_values = true, value_name = "URL", global = true)]
    oidc_issuer: Option<String>,
    /// Audience that JWTs must be made for: one of their claim `aud`. Required with OIDC_ISSUER
    #[arg(long, env = "OIDC_AUDIENCE", hide_env_values = true, value_name = "NAME", global = true)]
    oidc_audience: Option<String>,
    /// The issuer's JSON Web Key Set: a URL, https:// unless on loopback, or the path of a file. It is read again when
    /// it changes. Required with OIDC_ISSUER
    #[arg(long, env = "OIDC_KEY_SET", hide_env_values = true, value_name = "URL or PATH", global = true)]
    oidc_key_set: Option<String>,
    /// Claim that lists the roles of a JWT, as a list or as words; dots lead into objects, such as realm_access.roles
    #[arg(long, env = "OIDC_ROLES_CLAIM", hide_env_values = true, default_value = "roles", global = true)]
    oidc_roles_claim: String,
    /// Claim with the name of the caller, for the audit log and the share of the limits: sub, or azp if sub is not a
    /// useful name
    #[arg(long, env = "OIDC_NAME_CLAIM", hide_env_values = true, default_value = "sub", global = true)]
    oidc_name_claim: String,
    /// Where the audit log is written, a line of JSON for each change and each read of personal data: off, stderr,
    /// stdout, or the path of a file. Default: stderr with CREDENTIALS_FILE or OIDC_ISSUER, otherwise off
    #[arg(long, env = "AUDIT_LOG", hide_env_values = true, value_name = "WHERE", global = true)]
    audit_log: Option<String>,
}

/// The accepted callers, and the destination of the audit log.
#[derive(Debug, Clone, Default)]
pub struct IdentitySettings {
    pub credentials_file: Option<PathBuf>,
    pub issuer: Option<IssuerSettings>,
    pub audit: AuditTarget,
}

/// An issuer of JWTs.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    pub issuer: String,
    pub audience: String,
    pub key_set: KeySetSource,
    pub roles_claim: String,
    pub name_claim: String,
}

/// The source of an issuer's keys.
#[derive(Debug, Clone)]
pub enum KeySetSource {
    Url(Url),
    File(PathBuf),
}

impl IdentitySettings {
    /// The callers of the credentials file; `None` without one.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open_credentials(&self) -> Result<Option<Reloaded<Credentials>>, FileFault> {
        let Some(path) = &self.credentials_file else { return Ok(None) };
        let file = NamedFile { setting: CREDENTIALS_FILE, path: path.clone() };
        Reloaded::open("credentials", vec![file], |contents| made_of(CREDENTIALS_FILE, contents, Credentials::parse))
            .map(Some)
    }
}

/// Opens a file with a key set.
///
/// # Errors
/// The file cannot be used.
pub fn open_key_set(path: &Path) -> Result<Reloaded<KeySet>, FileFault> {
    let file = NamedFile { setting: OIDC_KEY_SET, path: path.to_owned() };
    Reloaded::open("key-set", vec![file], |contents| made_of(OIDC_KEY_SET, contents, KeySet::parse))
}

/// Parses the text of one file.
fn made_of<T, E: std::fmt::Display>(
    setting: &'static str,
    contents: &[Vec<u8>],
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, FileFault> {
    let text = str::from_utf8(contents.first().map(Vec::as_slice).unwrap_or_default());
    let text = text.map_err(|_| FileFault::new(setting, "is not text in UTF-8"))?;
    parse(text).map_err(|fault| FileFault::new(setting, fault.to_string()))
}

impl IdentityArgs {
    /// Whether callers need credentials.
    pub fn are_given(&self) -> bool {
        self.credentials_file.is_some() || self.oidc_issuer.is_some()
    }

    /// `None` when a setting is invalid; `problems` then has the reason.
    pub fn parse(&self, problems: &mut Problems) -> Option<IdentitySettings> {
        let credentials_file = self.credentials_file.clone().filter(|path| !path.as_os_str().is_empty());
        let issuer = self.issuer(problems);
        let audit = self.audit_log.as_deref().map(str::trim).filter(|given| !given.is_empty());
        let audit = match audit {
            Some(given) => given.parse().map_err(|must| problems.add("AUDIT_LOG", must)).ok(),
            None if self.are_given() => Some(AuditTarget::Stderr),
            None => Some(AuditTarget::Off),
        };
        let settings = IdentitySettings { credentials_file, issuer: None, audit: AuditTarget::Off };
        let is_usable = settings.open_credentials().map_err(|fault| problems.add(fault.setting, fault.problem)).is_ok();
        let (issuer, audit) = (issuer?, audit?);
        is_usable.then_some(IdentitySettings { issuer, audit, ..settings })
    }

    fn issuer(&self, problems: &mut Problems) -> Option<Option<IssuerSettings>> {
        let given =
            |value: &Option<String>| value.as_deref().map(str::trim).filter(|it| !it.is_empty()).map(ToOwned::to_owned);
        let (issuer, audience, key_set) =
            (given(&self.oidc_issuer), given(&self.oidc_audience), given(&self.oidc_key_set));
        if issuer.is_none() {
            for (name, value) in [("OIDC_AUDIENCE", &audience), (OIDC_KEY_SET, &key_set)] {
                if value.is_some() {
                    problems.add(name, "requires OIDC_ISSUER");
                }
            }
            return (audience.is_none() && key_set.is_none()).then_some(None);
        }
        for (name, value) in [("OIDC_AUDIENCE", &audience), (OIDC_KEY_SET, &key_set)] {
            if value.is_none() {
                problems.add(name, "is required with OIDC_ISSUER");
            }
        }
        let key_set = key_set.map(|given| key_set_source(&given, problems));
        Some(Some(IssuerSettings {
            issuer: issuer?,
            audience: audience?,
            key_set: key_set??,
            roles_claim: self.oidc_roles_claim.trim().to_owned(),
            name_claim: self.oidc_name_claim.trim().to_owned(),
        }))
    }
}

/// A URL, or the path of a file with a valid key set.
fn key_set_source(given: &str, problems: &mut Problems) -> Option<KeySetSource> {
    if given.contains("://") {
        let url = given.parse::<Url>().ok().filter(|url| url.has_host() && key_set_source::is_safe(url));
        if url.is_none() {
            problems.add(OIDC_KEY_SET, "must be a URL with https://, or http:// on loopback, or the path of a file");
        }
        return url.map(KeySetSource::Url);
    }
    let opened = open_key_set(Path::new(given)).map_err(|fault| problems.add(fault.setting, fault.problem));
    opened.is_ok().then(|| KeySetSource::File(given.into()))
}
