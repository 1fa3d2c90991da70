//! The keys that sign checkpoints.

use std::collections::BTreeMap;

use teppan_shared::{
    keys::Keys,
    sealing::{Key, KeyedHash},
};

/// There is one hash key, without a version.
const ONLY_VERSION: i32 = 1;

/// Versioned keys. One of them signs, all of them verify.
#[derive(Clone)]
pub struct CheckpointKeys {
    signing_version: i32,
    keys: BTreeMap<i32, KeyedHash>,
}

impl CheckpointKeys {
    pub fn of(keys: &Keys) -> Self {
        Self::new(ONLY_VERSION, [(ONLY_VERSION, &keys.hash)])
    }

    /// Keys that are derived from secrets with these versions. The key of `signing_version` must be among them.
    pub fn new<'a>(signing_version: i32, secrets: impl IntoIterator<Item = (i32, &'a Key)>) -> Self {
        let derive = |secret| KeyedHash::derive(secret, "teppan booking event_checkpoints.mac");
        let keys = secrets.into_iter().map(|(version, secret)| (version, derive(secret))).collect();
        Self { signing_version, keys }
    }

    /// The version of the key that signs.
    pub fn signing_version(&self) -> i32 {
        self.signing_version
    }

    /// The signature of a digest, with the key that signs.
    pub fn sign(&self, digest: &[u8]) -> [u8; 32] {
        self.keys[&self.signing_version].hash([digest])
    }

    /// Whether the key of this version signed the digest. False for a version that is not in the ring.
    pub fn verify(&self, key_version: i32, digest: &[u8], mac: &[u8]) -> bool {
        self.keys.get(&key_version).is_some_and(|key| key.hash([digest]).as_slice() == mac)
    }
}
