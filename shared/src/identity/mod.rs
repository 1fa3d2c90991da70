//! The identity of callers (bearer tokens from a file, JWTs of an OIDC issuer, client certificates) and their roles.

mod authenticator;
mod credentials;
mod issuer;
mod key_set;
mod key_set_source;
mod outgoing;
mod refused;
mod roles;
mod settings;
mod token;
mod token_command;
mod verifier;

use std::sync::Arc;

pub use self::{
    authenticator::Authenticator,
    credentials::{Credentials, CredentialsFault},
    outgoing::OutgoingToken,
    refused::Refused,
    roles::{Access, Audited, Role, Roles, Rule, rule},
    settings::{IdentityArgs, IdentitySettings, IssuerSettings, KeySetSource},
    token::Token,
    token_command::TokenCommand,
};

/// A caller whose credentials were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name in the credentials file, or the name in the JWT.
    pub name: Arc<str>,
    pub roles: Roles,
    pub proof: Proof,
    /// When the credential expires, in seconds since 1970; `None` for never.
    pub expires_at_seconds: Option<u64>,
}

/// The kind of credential that identified a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Proof {
    /// A bearer token of the credentials file.
    Token,
    /// A client certificate that the credentials file names.
    Certificate,
    /// A JWT of the issuer.
    Jwt,
}
