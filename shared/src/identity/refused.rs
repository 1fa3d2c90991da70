//! Refusals of calls by authentication and authorisation, and their failures.

use std::borrow::Cow;

use tonic::Code;

use super::{Roles, key_set_source};
use crate::status::Failure;

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Missing,
    /// With the problem.
    Invalid(&'static str),
    Expired,
    /// No keys of the issuer are known.
    IssuerUnavailable,
    /// With the roles of which one is required.
    RoleMissing(Roles),
}

impl Refused {
    /// All reasons, for metrics that begin at 0.
    pub fn reasons() -> [&'static str; 5] {
        [Self::Missing, Self::Invalid(""), Self::Expired, Self::IssuerUnavailable, Self::RoleMissing(Roles::NONE)]
            .map(|refused| refused.reason())
    }

    /// The reason in the call's `ErrorInfo`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "CREDENTIALS_MISSING",
            Self::Invalid(_) => "CREDENTIALS_INVALID",
            Self::Expired => "CREDENTIALS_EXPIRED",
            Self::IssuerUnavailable => "ISSUER_UNAVAILABLE",
            Self::RoleMissing(_) => "ROLE_MISSING",
        }
    }

    /// The failure for a call that requires one of these roles.
    pub fn to_failure(&self, needed: Roles) -> Failure {
        let (code, message): (Code, Cow<'static, str>) = match self {
            Self::Missing => {
                let role = if needed.is_empty() { String::new() } else { format!(" with one of the roles: {needed}") };
                let message = format!(
                    "The call has no credentials: send the metadata `authorization: Bearer TOKEN`, or connect with a \
                     client certificate, of a caller that the service knows{role}."
                );
                (Code::Unauthenticated, message.into())
            }
            Self::Invalid(problem) => (
                Code::Unauthenticated,
                format!("The call's credentials are not accepted ({problem}): send those the operators gave out.").into(),
            ),
            Self::Expired => {
                (Code::Unauthenticated, "The call's token has expired: fetch a new one from its issuer.".into())
            }
            Self::IssuerUnavailable => (
                Code::Unavailable,
                "The keys of the token's issuer cannot be fetched: send the same call again after the time in RetryInfo."
                    .into(),
            ),
            Self::RoleMissing(roles) if roles.is_empty() => {
                (Code::PermissionDenied, "No role allows this call: there may be no such call.".into())
            }
            Self::RoleMissing(roles) => (
                Code::PermissionDenied,
                format!("The caller lacks the role for this call: have the operators give it one of: {roles}.").into(),
            ),
        };
        let failure = Failure::new(code, self.reason(), message);
        match self {
            Self::Missing | Self::Expired | Self::Invalid(_) => {
                let failure = if needed.is_empty() { failure } else { failure.with("roles", needed) };
                if let Self::Invalid(problem) = self { failure.with("problem", problem) } else { failure }
            }
            Self::IssuerUnavailable => failure.retry_after(key_set_source::RETRY_AFTER),
            Self::RoleMissing(roles) => failure.with("roles", roles),
        }
    }
}
