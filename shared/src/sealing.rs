//! Sealing of personal data with XChaCha20-Poly1305, and keyed hashes to find them again.

use std::collections::BTreeMap;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The first byte of every sealed value: the version of its layout.
const LAYOUT: u8 = 1;
const NONCE_BYTES: usize = 24;
/// layout (1) + key version (2) + nonce (24)
const HEADER_BYTES: usize = 3 + NONCE_BYTES;

/// The purpose of the key that seals.
const SEALING: &str = "teppan sealing";

/// A 256-bit key.
pub type Key = Zeroizing<[u8; 32]>;

/// The associated data of a sealed value. It is authenticated with the value, so a ciphertext that is moved to another
/// table, column or row cannot be opened there.
#[derive(Debug, Clone, Copy)]
pub struct AssociatedData<'a> {
    pub table: &'static str,
    pub column: &'static str,
    /// The primary key of the row, or another value that never changes.
    pub row: &'a [u8],
}

impl AssociatedData<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.table.len() + self.column.len() + self.row.len() + 2);
        // Names of tables and columns contain no NUL, so the encoding is unambiguous.
        data.extend_from_slice(self.table.as_bytes());
        data.push(0);
        data.extend_from_slice(self.column.as_bytes());
        data.push(0);
        data.extend_from_slice(self.row);
        data
    }
}

/// Why a sealed value cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("sealed under key version {0}, which is not in the key ring")]
    UnknownKey(u16),
    #[error("sealed value was altered, or belongs to another row or column")]
    NotAuthentic,
    #[error("not a sealed value")]
    Malformed,
}

/// Sealing keys, each derived from a versioned secret. The first one seals, all of them open.
///
/// Operators choose the order. So they can give every replica a new key for opening before any replica seals with it.
pub struct KeyRing {
    sealing_version: u16,
    ciphers: BTreeMap<u16, XChaCha20Poly1305>,
}

impl KeyRing {
    /// `None` when there is no secret.
    #[expect(clippy::missing_panics_doc, reason = "a derived key has the length that the cipher needs")]
    pub fn new(secrets: &[(u16, Key)]) -> Option<Self> {
        let cipher = |secret: &Key| {
            let key = derive(secret, SEALING);
            XChaCha20Poly1305::new(key.as_slice().try_into().expect("32 bytes"))
        };
        let &(sealing_version, _) = secrets.first()?;
        let ciphers = secrets.iter().map(|(version, secret)| (*version, cipher(secret))).collect();
        Some(Self { sealing_version, ciphers })
    }

    /// The version of the key that seals.
    pub fn sealing_version(&self) -> u16 {
        self.sealing_version
    }

    /// The versions of the keys that open.
    pub fn versions(&self) -> impl Iterator<Item = u16> {
        self.ciphers.keys().copied()
    }

    /// Seals a value with the first key and a random nonce.
    #[expect(clippy::missing_panics_doc, reason = "the cipher fails only above 256 GiB")]
    pub fn seal(&self, about: AssociatedData<'_>, plain: &[u8]) -> Vec<u8> {
        let (version, cipher) = (self.sealing_version, &self.ciphers[&self.sealing_version]);
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plain, aad: &about.to_bytes() };
        let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).expect("fits one message");

        let mut sealed = Vec::with_capacity(HEADER_BYTES + ciphertext.len());
        sealed.push(LAYOUT);
        sealed.extend_from_slice(&version.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens a value that was sealed with the same associated data.
    pub fn open(&self, about: AssociatedData<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER_BYTES).ok_or(OpenError::Malformed)?;
        let [LAYOUT, high, low, nonce @ ..] = header else { return Err(OpenError::Malformed) };
        let version = u16::from_be_bytes([*high, *low]);
        let cipher = self.ciphers.get(&version).ok_or(OpenError::UnknownKey(version))?;
        let nonce = XNonce::try_from(nonce).map_err(|_| OpenError::Malformed)?;
        let payload = Payload { msg: ciphertext, aad: &about.to_bytes() };
        cipher.decrypt(&nonce, payload).map(Zeroizing::new).map_err(|_| OpenError::NotAuthentic)
    }

    /// Opens text that was sealed with the same associated data.
    pub fn open_text(&self, about: AssociatedData<'_>, sealed: &[u8]) -> Result<String, OpenError> {
        let plain = self.open(about, sealed)?;
        std::str::from_utf8(&plain).map(str::to_owned).map_err(|_| OpenError::Malformed)
    }
}

/// A keyed hash (HMAC-SHA256) for one purpose, under every key of the ring.
///
/// Each purpose has keys of its own, which HKDF derives from the secrets of the ring. So hashes of different purposes
/// cannot be compared.
#[derive(Clone)]
pub struct KeyedHash {
    /// In the order of the ring: the first key makes new hashes.
    keys: Vec<Hmac<Sha256>>,
}

impl KeyedHash {
    /// `None` when there is no secret.
    #[expect(clippy::missing_panics_doc, reason = "any key length is accepted")]
    pub fn new(secrets: &[(u16, Key)], purpose: &str) -> Option<Self> {
        let key = |(_, secret): &(u16, Key)| {
            Hmac::new_from_slice(derive(secret, purpose).as_slice()).expect("any key length is accepted")
        };
        let keys: Vec<_> = secrets.iter().map(key).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The hashes of a sequence of fields. Each field is preceded by its length, so that the encoding is unambiguous.
    pub fn hash<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> Hashes {
        let mut hashes = self.keys.clone();
        for field in fields {
            for hmac in &mut hashes {
                hmac.update(&(field.len() as u64).to_be_bytes());
                hmac.update(field);
            }
        }
        Hashes(hashes.into_iter().map(|hmac| hmac.finalize().into_bytes().into()).collect())
    }
}

/// The hashes of one value under every key of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes(Vec<[u8; 32]>);

impl Hashes {
    /// The hash to store.
    pub fn newest(&self) -> &[u8; 32] {
        &self.0[0]
    }

    /// The hash under the key at this place in the ring.
    pub fn get(&self, index: usize) -> Option<&[u8; 32]> {
        self.0.get(index)
    }

    /// Whether a stored hash is of the same value. It may have been made under an older key.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.iter().any(|hash| hash == stored)
    }

    /// All of them, the one to store first: a parameter for a search.
    pub fn all(&self) -> Vec<Vec<u8>> {
        self.0.iter().map(|hash| hash.to_vec()).collect()
    }
}

/// The key that HKDF derives from a secret for one purpose.
fn derive(secret: &Key, purpose: &str) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret.as_slice())
        .expand(purpose.as_bytes(), key.as_mut_slice())
        .expect("32 bytes can be derived");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(versions: &[u16]) -> KeyRing {
        let key = |version: u16| Zeroizing::new([u8::try_from(version).expect("small"); 32]);
        KeyRing::new(&versions.iter().map(|v| (*v, key(*v))).collect::<Vec<_>>()).expect("has keys")
    }

    const NAME: AssociatedData<'static> = AssociatedData { table: "customers", column: "name", row: b"7" };

    #[test]
    fn a_sealed_value_opens_with_its_associated_data() {
        let sealed = ring(&[1]).seal(NAME, b"Mina Sato");
        assert_eq!(ring(&[1]).open_text(NAME, &sealed).expect("opens"), "Mina Sato");
        assert!(!sealed.windows(4).any(|w| w == b"Mina"));
    }

    #[test]
    fn a_sealed_value_does_not_open_with_other_associated_data() {
        let sealed = ring(&[1]).seal(NAME, b"Mina Sato");
        for other in [
            AssociatedData { table: "bookings", ..NAME },
            AssociatedData { column: "email", ..NAME },
            AssociatedData { row: b"8", ..NAME },
        ] {
            assert!(matches!(ring(&[1]).open(other, &sealed), Err(OpenError::NotAuthentic)));
        }
    }

    #[test]
    fn an_altered_or_short_value_is_refused_without_a_panic() {
        let ring = ring(&[1]);
        let sealed = ring.seal(NAME, b"Mina Sato");
        for length in 0..sealed.len() {
            assert!(ring.open(NAME, &sealed[..length]).is_err());
        }
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(ring.open(NAME, &altered).is_err());
        }
    }

    #[test]
    fn while_a_key_is_replaced_every_replica_can_open_what_the_others_seal() {
        let steps = [ring(&[1]), ring(&[1, 2]), ring(&[2, 1])];
        // A rolling restart: replicas before and after a step run at once.
        for step in steps.windows(2) {
            for (one, other) in [(&step[0], &step[1]), (&step[1], &step[0])] {
                assert_eq!(other.open_text(NAME, &one.seal(NAME, b"a")).expect("opens"), "a");
            }
        }
        let new = steps[2].seal(NAME, b"a");
        assert!(matches!(steps[0].open(NAME, &new), Err(OpenError::UnknownKey(2))));
    }

    #[test]
    fn hashes_differ_by_purpose_and_by_the_boundaries_of_fields() {
        let keyed = |purpose| KeyedHash::new(&[(1, Zeroizing::new([7; 32]))], purpose).expect("a secret");
        let (a, b) = (keyed("a"), keyed("b"));
        assert_ne!(a.hash([b"x".as_slice()]), b.hash([b"x".as_slice()]));
        assert_ne!(a.hash([b"xy".as_slice(), b"z"]), a.hash([b"x".as_slice(), b"yz"]));
        assert_eq!(a.hash([b"x".as_slice()]), a.hash([b"x".as_slice()]));
    }

    #[test]
    fn a_hash_under_an_older_key_is_recognised_and_new_hashes_use_the_first_key() {
        let secret = |version: u8| (u16::from(version), Zeroizing::new([version; 32]));
        let keyed = |secrets: &[_]| KeyedHash::new(secrets, "a").expect("a secret").hash([b"x".as_slice()]);
        let (old, new) = (keyed(&[secret(1)]), keyed(&[secret(2), secret(1)]));
        assert!(new.matches(old.newest()));
        assert_ne!(new.newest(), old.newest());
        assert!(!old.matches(new.newest()), "a ring without the new key does not know its hashes");
        assert_eq!(new.all()[1], old.newest());
    }
}
