//! A checkpoint: what it states about a batch of events, and how it continues the checkpoint before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::keys::CheckpointKeys;
use crate::bookings::booking::to_hex;

/// The most events of one checkpoint; the table allows no more.
pub const EVENTS_MAX: usize = 2_000;

const ENTRY_BYTES: usize = 40;

/// What a checkpoint states about an event. Entries are ordered by booking and version.
///
/// Half of the hash is enough: to replace an event unnoticed, one must find another event with the same 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub booking_id: Uuid,
    pub version: i64,
    hash: [u8; 16],
}

impl Entry {
    /// `hash` is the whole hash of the event. A hash of another length, which only an intruder can store, is filled up
    /// with zeros.
    pub fn of(booking_id: Uuid, version: i64, hash: &[u8]) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
        Self { booking_id, version, hash: half }
    }

    /// Whether this entry is about an event with this hash.
    pub fn has_hash(&self, hash: &[u8]) -> bool {
        *self == Self::of(self.booking_id, self.version, hash)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.booking_id.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
    }

    fn read(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (mut booking_id, mut version) = ([0; 16], [0; 8]);
        booking_id.copy_from_slice(&bytes[..16]);
        version.copy_from_slice(&bytes[16..24]);
        Self::of(Uuid::from_bytes(booking_id), i64::from_be_bytes(version), &bytes[24..])
    }
}

/// The checkpoint that the next one continues. The default is before the first one.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub number: i64,
    pub event_count: i64,
    pub booking_count: i64,
    pub digest: Vec<u8>,
}

/// A stored checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub number: i64,
    /// Of one event each; see [`Entry`].
    pub entries: Vec<u8>,
    /// The entries of this checkpoint and of all before it. An event that was covered again after a restore counts
    /// again.
    pub event_count: i64,
    /// The same for first events, so the number of bookings.
    pub booking_count: i64,
    pub created_at: DateTime<Utc>,
    /// The hash of everything above and of the digest of the checkpoint before it. It does not depend on the key, so a
    /// checkpoint can be signed with a new key without its neighbours.
    pub digest: Vec<u8>,
    pub key_version: i32,
    /// The signature of the digest.
    pub mac: Vec<u8>,
}

impl Checkpoint {
    /// The next checkpoint, signed.
    pub fn after(head: &Head, entries: &[Entry], created_at: DateTime<Utc>, keys: &CheckpointKeys) -> Self {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for entry in entries {
            entry.write(&mut bytes);
        }
        let mut checkpoint = Self {
            number: head.number.saturating_add(1),
            entries: bytes,
            event_count: 0,
            booking_count: 0,
            created_at,
            digest: Vec::new(),
            key_version: keys.signing_version(),
            mac: Vec::new(),
        };
        (checkpoint.event_count, checkpoint.booking_count) = checkpoint.counts_after(head);
        checkpoint.digest = checkpoint.digest_after(head).to_vec();
        checkpoint.mac = keys.sign(&checkpoint.digest).to_vec();
        checkpoint
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.as_chunks().0.iter().map(Entry::read)
    }

    pub fn head(&self) -> Head {
        let Self { number, event_count, booking_count, .. } = *self;
        Head { number, event_count, booking_count, digest: self.digest.clone() }
    }

    pub fn anchor(&self) -> Anchor {
        Anchor::of(&self.head(), self.created_at)
    }

    /// Whether its counts and its digest continue this checkpoint.
    pub fn continues(&self, head: &Head) -> bool {
        (self.event_count, self.booking_count) == self.counts_after(head) && self.digest == self.digest_after(head)
    }

    fn counts_after(&self, head: &Head) -> (i64, i64) {
        let count = |entries: usize| i64::try_from(entries).unwrap_or(i64::MAX);
        let (events, bookings) = (self.entries().count(), self.entries().filter(|entry| entry.version == 1).count());
        (head.event_count.saturating_add(count(events)), head.booking_count.saturating_add(count(bookings)))
    }

    /// Only the entries have no fixed length, and they come last. Only the first checkpoint has no digest before it.
    fn digest_after(&self, head: &Head) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(&head.digest);
        hash.update(self.number.to_be_bytes());
        hash.update(self.event_count.to_be_bytes());
        hash.update(self.booking_count.to_be_bytes());
        hash.update(self.created_at.timestamp_micros().to_be_bytes());
        hash.update(&self.entries);
        hash.finalize().into()
    }
}

/// What must be known outside the database about a checkpoint, so that it cannot be cut off unnoticed. It contains no
/// secret. The data of the published event is one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    #[serde(deserialize_with = "number")]
    pub number: i64,
    /// In hexadecimal digits.
    pub digest: String,
    #[serde(deserialize_with = "number")]
    pub event_count: i64,
    #[serde(deserialize_with = "number")]
    pub booking_count: i64,
    pub created_at: DateTime<Utc>,
}

impl Anchor {
    pub fn of(head: &Head, created_at: DateTime<Utc>) -> Self {
        let digest = to_hex(&head.digest).trim_start_matches("\\x").to_owned();
        let Head { number, event_count, booking_count, .. } = *head;
        Self { number, digest, event_count, booking_count, created_at }
    }

    /// The fields in which the checkpoint in the database differs.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let fields = [
            ("digest", self.digest != other.digest),
            ("event_count", self.event_count != other.event_count),
            ("booking_count", self.booking_count != other.booking_count),
            ("created_at", self.created_at != other.created_at),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
    }
}

/// Reads a number also as a string, as in the JSON of protobuf.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(i64),
        Text(String),
    }
    match Number::deserialize(from)? {
        Number::Number(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

/// Checks checkpoints one after the other, in the order of their numbers.
#[derive(Debug, Default)]
pub struct Chain {
    head: Head,
}

/// The result for one checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The first and the last number that are missing before it.
    pub missing: Option<(i64, i64)>,
    /// Whether it is signed and continues the checkpoint before it. If that one is missing, only the signature can be
    /// checked.
    pub is_authentic: bool,
}

impl Chain {
    pub fn check(&mut self, checkpoint: &Checkpoint, keys: &CheckpointKeys) -> Checked {
        let expected = self.head.number.saturating_add(1);
        let missing = (checkpoint.number > expected).then(|| (expected, checkpoint.number - 1));
        let continues = checkpoint.number == expected && checkpoint.continues(&self.head);
        let is_signed = keys.verify(checkpoint.key_version, &checkpoint.digest, &checkpoint.mac);
        self.head = checkpoint.head();
        Checked { missing, is_authentic: is_signed && (continues || missing.is_some()) }
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
