//! A checkpoint: what it states about a batch of events, and how it continues the checkpoint before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
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
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub number: i64,
    /// In hexadecimal digits.
    pub digest: String,
    pub event_count: i64,
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
mod tests {
    use teppan_shared::sealing::Key;

    use super::*;

    /// Keys of these versions, of which the last one signs.
    fn keys_of_versions(versions: &[u8]) -> CheckpointKeys {
        let secrets: Vec<_> = versions.iter().map(|version| (i32::from(*version), Key::new([*version; 32]))).collect();
        let signing = versions.last().copied().map_or(0, i32::from);
        CheckpointKeys::new(signing, secrets.iter().map(|(version, secret)| (*version, secret)))
    }

    fn entries(first: u128, count: u128) -> Vec<Entry> {
        (first..first + count).map(|n| Entry::of(Uuid::from_u128(n), 1, &[7; 32])).collect()
    }

    /// Three checkpoints of two events each.
    fn chain(keys: &CheckpointKeys) -> Vec<Checkpoint> {
        let mut made: Vec<Checkpoint> = Vec::new();
        for first in [1, 3, 5] {
            let head = made.last().map(Checkpoint::head).unwrap_or_default();
            made.push(Checkpoint::after(&head, &entries(first, 2), DateTime::UNIX_EPOCH, keys));
        }
        made
    }

    fn check(checkpoints: &[Checkpoint], keys: &CheckpointKeys) -> Vec<Checked> {
        let mut chain = Chain::default();
        checkpoints.iter().map(|checkpoint| chain.check(checkpoint, keys)).collect()
    }

    fn authentic(checkpoints: &[Checkpoint], keys: &CheckpointKeys) -> Vec<bool> {
        check(checkpoints, keys).iter().map(|checked| checked.is_authentic).collect()
    }

    #[test]
    fn checkpoints_count_events_and_bookings_and_give_their_entries_back() {
        let keys = keys_of_versions(&[1]);
        let moved = Entry::of(Uuid::from_u128(1), 2, &[9; 32]);
        let mut given = entries(1, 2);
        given.push(moved);
        let made = Checkpoint::after(&Head::default(), &given, DateTime::UNIX_EPOCH, &keys);
        assert_eq!((made.number, made.event_count, made.booking_count), (1, 3, 2));
        assert_eq!(made.entries().collect::<Vec<_>>(), given);
        assert!(moved.has_hash(&[9; 32]) && !moved.has_hash(&[8; 32]) && !moved.has_hash(&[]));
        assert_eq!(authentic(&chain(&keys), &keys), [true; 3]);
    }

    #[test]
    fn a_checkpoint_with_any_changed_column_is_not_authentic() {
        let keys = keys_of_versions(&[1]);
        let changes: [fn(&mut Checkpoint); 6] = [
            |it| it.entries[39] ^= 1,
            |it| it.entries.truncate(40),
            |it| it.event_count -= 1,
            |it| it.booking_count += 1,
            |it| it.created_at += chrono::TimeDelta::microseconds(1),
            |it| it.mac[0] ^= 1,
        ];
        for change in changes {
            let mut checkpoints = chain(&keys);
            change(&mut checkpoints[1]);
            assert_eq!(authentic(&checkpoints, &keys)[..2], [true, false]);
        }
        let mut checkpoints = chain(&keys);
        checkpoints[1].digest[0] ^= 1;
        assert_eq!(authentic(&checkpoints, &keys), [true, false, false], "the next one continues another one");
    }

    #[test]
    fn history_that_is_signed_with_another_key_is_not_authentic() {
        let (keys, own) = (keys_of_versions(&[1]), keys_of_versions(&[2]));
        let mut forged = chain(&own);
        assert_eq!(authentic(&forged, &keys), [false; 3]);
        // A version that the ring has, but another key.
        for checkpoint in &mut forged {
            checkpoint.key_version = 1;
        }
        assert_eq!(authentic(&forged, &keys), [false; 3]);
    }

    #[test]
    fn missing_checkpoints_are_named_and_the_next_one_is_checked_by_its_signature() {
        let keys = keys_of_versions(&[1]);
        let mut checkpoints = chain(&keys);
        checkpoints.remove(1);
        let checked = check(&checkpoints, &keys);
        assert_eq!(checked[1], Checked { missing: Some((2, 2)), is_authentic: true });
        checkpoints.remove(0);
        assert_eq!(check(&checkpoints, &keys), [Checked { missing: Some((1, 2)), is_authentic: true }]);
        checkpoints[0].mac[0] ^= 1;
        assert_eq!(check(&checkpoints, &keys), [Checked { missing: Some((1, 2)), is_authentic: false }]);
    }

    #[test]
    fn checkpoints_of_several_keys_continue_each_other() {
        let (old, new) = (keys_of_versions(&[1]), keys_of_versions(&[1, 2]));
        let mut checkpoints = chain(&old);
        let head = checkpoints[2].head();
        checkpoints.push(Checkpoint::after(&head, &entries(7, 1), DateTime::UNIX_EPOCH, &new));
        // Re-signing changes no digest, so the order does not matter.
        checkpoints[1].mac = new.sign(&checkpoints[1].digest).to_vec();
        checkpoints[1].key_version = new.signing_version();
        assert_eq!(authentic(&checkpoints, &new), [true; 4]);
        assert_eq!(authentic(&checkpoints, &old), [true, false, true, false]);
    }
}
