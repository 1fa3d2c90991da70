//! The keys that sign checkpoints.

use std::collections::BTreeMap;

use teppan_shared::{keys::Keys, sealing::KeyedHash};

/// Versioned keys. One of them signs, all of them verify.
#[derive(Clone)]
pub struct CheckpointKeys {
    signing_version: i32,
    keys: BTreeMap<i32, KeyedHash>,
}

impl CheckpointKeys {
    /// The keys that are derived from the secrets of the ring. The first one signs.
    pub fn of(keys: &Keys) -> Self {
        let versions = keys.hash_by_version("teppan booking event_checkpoints.mac");
        let signing_version = keys.ring().sealing_version().into();
        Self { signing_version, keys: versions.map(|(version, key)| (version.into(), key)).collect() }
    }

    /// The version of the key that signs.
    pub fn signing_version(&self) -> i32 {
        self.signing_version
    }

    /// The signature of a digest, with the key that signs.
    pub fn sign(&self, digest: &[u8]) -> [u8; 32] {
        *self.keys[&self.signing_version].hash([digest]).newest()
    }

    /// Whether the key of this version signed the digest. False for a version that is not in the ring.
    pub fn verify(&self, key_version: i32, digest: &[u8], mac: &[u8]) -> bool {
        self.keys.get(&key_version).is_some_and(|key| key.hash([digest]).matches(mac))
    }
}
