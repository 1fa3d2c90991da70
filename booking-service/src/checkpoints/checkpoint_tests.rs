use teppan_shared::keys::Keys;

use super::*;

/// Keys of these versions, of which the last one signs.
fn keys_of_versions(versions: &[u8]) -> CheckpointKeys {
    let secret = |version: &u8| format!("{version}:{}{version}A=", "A".repeat(41));
    let ring: Vec<_> = versions.iter().rev().map(secret).collect();
    CheckpointKeys::of(&Keys::parse(&ring.join(",")).expect("a ring"))
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
