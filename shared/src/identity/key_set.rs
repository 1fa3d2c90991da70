//! The key set of an issuer: its public keys in the format of RFC 7517.

use std::collections::HashMap;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of a set.
const KEYS_MAX: usize = 100;

/// The keys with which an issuer signs.
#[derive(Debug, Default)]
pub struct KeySet {
    by_id: HashMap<String, VerificationKey>,
    /// The key without an id of a set with only one key.
    only: Option<VerificationKey>,
}

/// A public key, and the algorithms that it may be used with.
#[derive(Debug, Clone)]
pub struct VerificationKey {
    pub key: DecodingKey,
    pub algorithms: Vec<Algorithm>,
}

/// Why a text is not a usable key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    #[error("it is not a JSON Web Key Set: an object with a list `keys`")]
    NotAKeySet,
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
    #[error("it has no key for RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA with an id (`kid`)")]
    NoKey,
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a key set. Keys for other purposes and unknown kinds of keys are left out.
    ///
    /// # Errors
    /// [`KeySetFault`].
    pub fn parse(text: &str) -> Result<Self, KeySetFault> {
        let RawKeySet { keys } = serde_json::from_str(text).map_err(|_| KeySetFault::NotAKeySet)?;
        if keys.len() > KEYS_MAX {
            return Err(KeySetFault::TooMany);
        }
        let is_alone = keys.len() == 1;
        let mut set = Self::default();
        for jwk in keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
            let Some(key) = VerificationKey::of(&jwk) else { continue };
            match jwk.common.key_id {
                Some(id) => drop(set.by_id.insert(id, key)),
                None if is_alone => set.only = Some(key),
                None => {}
            }
        }
        if set.by_id.is_empty() && set.only.is_none() { Err(KeySetFault::NoKey) } else { Ok(set) }
    }

    /// The key with this id. A token without a key id matches only if the set has one key.
    pub fn get(&self, id: Option<&str>) -> Option<&VerificationKey> {
        match id {
            Some(id) => self.by_id.get(id).or(self.only.as_ref()),
            None if self.by_id.len() == 1 => self.by_id.values().next(),
            None => self.only.as_ref(),
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len() + usize::from(self.only.is_some())
    }
}

impl VerificationKey {
    fn of(jwk: &Jwk) -> Option<Self> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let fitting: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            // This includes shared secrets.
            _ => return None,
        };
        let named = jwk.common.key_algorithm.map(algorithm);
        let algorithms: Vec<_> =
            fitting.iter().filter(|it| named.is_none_or(|named| named == Some(**it))).copied().collect();
        let key = DecodingKey::from_jwk(jwk).ok()?;
        (!algorithms.is_empty()).then_some(Self { key, algorithms })
    }
}

/// The algorithm of a key; `None` if it is not a signature algorithm.
fn algorithm(named: KeyAlgorithm) -> Option<Algorithm> {
    named.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn parse(keys: &Value) -> Result<KeySet, KeySetFault> {
        KeySet::parse(&json!({ "keys": keys }).to_string())
    }

    #[test]
    fn keys_are_found_by_their_id_and_others_are_left_out() {
        let set = parse(&json!([
            {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "for encryption", "use": "enc"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "a secret"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "a secret for HS256", "alg": "HS256"},
            {"kty": "EC", "crv": "P-521", "x": X, "y": X, "kid": "another curve"},
            {"kty": "unheard of", "kid": "b"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "c", "alg": "PS256", "use": "sig"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "d", "alg": "RSA-OAEP"},
        ]))
        .expect("a key set");
        assert_eq!(set.len(), 2);
        assert_eq!(set.get(Some("a")).expect("known").algorithms, [Algorithm::EdDSA]);
        assert_eq!(set.get(Some("c")).expect("known").algorithms, [Algorithm::PS256]);
        assert!(set.get(Some("d")).is_none() && set.get(None).is_none());
    }

    #[test]
    fn the_only_key_needs_no_id() {
        let set = parse(&json!([{"kty": "OKP", "crv": "Ed25519", "x": X}])).expect("a key set");
        assert!(set.get(None).is_some() && set.get(Some("any")).is_some());
    }

    #[test]
    fn an_invalid_key_set_and_one_without_usable_keys_are_refused() {
        for text in ["", "{}", "[]", "null", r#"{"keys": 1}"#, "<html>"] {
            assert_eq!(KeySet::parse(text).expect_err(text), KeySetFault::NotAKeySet);
        }
        assert_eq!(parse(&json!([])).expect_err("empty"), KeySetFault::NoKey);
        assert_eq!(
            parse(&json!([{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}])).expect_err("a secret"),
            KeySetFault::NoKey
        );
        assert_eq!(parse(&json!(vec![1; 101])).expect_err("101"), KeySetFault::TooMany);
    }
}
