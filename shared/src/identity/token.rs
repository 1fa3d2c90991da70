//! Bearer tokens. They are random, and the service knows only their hashes.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The prefix by which people and scanners for leaked secrets recognise a token.
const PREFIX: &str = "teppan_";
const RANDOM_BYTES: usize = 32;

/// The SHA-256 hash of a token. A fast hash is sufficient, because the token has 256 random bits and cannot be found by
/// trying.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Parses 64 hexadecimal digits.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if hex.len() != 2 * hash.len() || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, index) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(hex.get(index..index + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A new token.
pub struct Token(Zeroizing<String>);

impl Token {
    pub fn random() -> Self {
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        rand::rng().fill_bytes(random.as_mut());
        Self(Zeroizing::new(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(*random))))
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// The token itself, to be printed once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_can_be_parsed_from_its_hexadecimal_digits() {
        let hash = Token::random().hash();
        assert!(TokenHash::from_hex(&hash.to_string()) == Some(hash));
        assert!(TokenHash::from_hex(&hash.to_string().to_ascii_uppercase()) == Some(hash));
        for wrong in ["", "ab", &hash.to_string()[1..], &format!("{hash}0"), &"+1".repeat(32), &"é".repeat(32)] {
            assert!(TokenHash::from_hex(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn tokens_differ_and_have_43_random_characters() {
        let (one, other) = (Token::random(), Token::random());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), PREFIX.len() + 43);
    }
}
