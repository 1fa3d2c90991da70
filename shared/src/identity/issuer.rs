//! JWTs of an OIDC issuer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind, get_current_timestamp};
use serde_json::{Map, Value};

use super::{
    Identity, Proof, Refused, Role, Roles,
    credentials::is_name,
    key_set::{KeySet, VerificationKey},
    key_set_source::IssuerKeys,
    settings::IssuerSettings,
    token::TokenHash,
    verifier,
};

/// The tolerated difference between the issuer's clock and this machine's clock.
const LEEWAY_SECONDS: u64 = 30;
/// The most verified tokens that are cached.
const REMEMBERED_MAX: usize = 10_000;
/// The longest accepted name in a token.
const NAME_CHARS_MAX: usize = 200;

/// An issuer whose tokens are accepted.
pub struct Issuer {
    settings: IssuerSettings,
    pub keys: IssuerKeys,
    remembered: Mutex<Remembered>,
}

/// A cache of tokens that were verified with one key set, because a caller sends its token with every call.
#[derive(Default)]
struct Remembered {
    keys: Option<Arc<KeySet>>,
    by_token: HashMap<TokenHash, Verified>,
}

#[derive(Clone)]
struct Verified {
    identity: Arc<Identity>,
    expires_at_seconds: u64,
}

impl Issuer {
    pub fn new(settings: IssuerSettings, keys: IssuerKeys) -> Self {
        verifier::install();
        Self { settings, keys, remembered: Mutex::default() }
    }

    /// The caller that a token identifies.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub async fn identity(&self, token: &str) -> Result<Arc<Identity>, Refused> {
        let hash = TokenHash::of(token);
        if let Some(known) = self.remembered(hash) {
            let is_over = known.expires_at_seconds.saturating_add(LEEWAY_SECONDS) < get_current_timestamp();
            return if is_over { Err(Refused::Expired) } else { Ok(known.identity) };
        }
        let header = decode_header(token).map_err(|_| Refused::Invalid("not a token of this service or its issuer"))?;
        let keys = self.keys.with_key(header.kid.as_deref()).await.ok_or(Refused::IssuerUnavailable)?;
        let key = keys.get(header.kid.as_deref()).ok_or(Refused::Invalid("unknown key"))?;
        let verified = self.verify(token, key)?;
        let identity = Arc::clone(&verified.identity);
        self.remember(&keys, hash, verified);
        Ok(identity)
    }

    fn verify(&self, token: &str, key: &VerificationKey) -> Result<Verified, Refused> {
        let mut validation = Validation::new(key.algorithms[0]);
        validation.algorithms.clone_from(&key.algorithms);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.settings.audience]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let claims =
            decode::<Map<String, Value>>(token, &key.key, &validation).map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Refused::Expired,
                ErrorKind::InvalidIssuer => Refused::Invalid("issuer"),
                ErrorKind::InvalidAudience => Refused::Invalid("audience"),
                ErrorKind::ImmatureSignature => Refused::Invalid("not valid yet"),
                ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Refused::Invalid("algorithm"),
                ErrorKind::MissingRequiredClaim(_) => Refused::Invalid("exp, iss or aud is missing"),
                ErrorKind::InvalidSignature => Refused::Invalid("signature"),
                _ => Refused::Invalid("not a token of this service or its issuer"),
            })?;
        let claims = claims.claims;
        let name = claims.get(&self.settings.name_claim).and_then(Value::as_str).filter(|name| is_token_name(name));
        let name = name.ok_or(Refused::Invalid("the claim of the holder's name"))?.into();
        let roles = claim(&claims, &self.settings.roles_claim).map(roles).unwrap_or_default();
        let expires_at_seconds = claims.get("exp").and_then(seconds).unwrap_or_default();
        let over_at_seconds = Some(expires_at_seconds.saturating_add(LEEWAY_SECONDS));
        let identity = Arc::new(Identity { name, roles, proof: Proof::Jwt, expires_at_seconds: over_at_seconds });
        Ok(Verified { identity, expires_at_seconds })
    }

    fn remembered(&self, hash: TokenHash) -> Option<Verified> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.current();
        if remembered.keys.as_ref().map(Arc::as_ptr) != keys.as_ref().map(Arc::as_ptr) {
            // A key that was removed from the set may have signed the cached tokens.
            *remembered = Remembered { keys, ..Remembered::default() };
        }
        remembered.by_token.get(&hash).cloned()
    }

    fn remember(&self, keys: &Arc<KeySet>, hash: TokenHash, verified: Verified) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if !remembered.keys.as_ref().is_some_and(|current| Arc::ptr_eq(current, keys)) {
            return;
        }
        if remembered.by_token.len() >= REMEMBERED_MAX {
            let now = get_current_timestamp();
            remembered.by_token.retain(|_, known| known.expires_at_seconds >= now);
            if remembered.by_token.len() >= REMEMBERED_MAX {
                remembered.by_token.clear();
            }
        }
        remembered.by_token.insert(hash, verified);
    }
}

/// A number of seconds, which may have a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction does not matter")]
fn seconds(claim: &Value) -> Option<u64> {
    claim.as_u64().or_else(|| claim.as_f64().map(|seconds| seconds as u64))
}

/// A claim by its name, or by a path of names through objects.
fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

/// The known roles in a list or in a text of words. Issuers list the roles of other services too.
fn roles(claim: &Value) -> Roles {
    match claim {
        Value::Array(names) => names.iter().filter_map(|name| name.as_str()?.parse::<Role>().ok()).collect(),
        Value::String(names) => names.split_whitespace().filter_map(|name| name.parse::<Role>().ok()).collect(),
        _ => Roles::NONE,
    }
}

/// Whether a name is suitable for a log. Names of the issuer may have more characters than names in the credentials
/// file.
fn is_token_name(name: &str) -> bool {
    is_name(name) || (!name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control))
}
