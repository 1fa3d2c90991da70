//! The secrets that seal and hash: where they come from and how they are kept.

use std::{collections::BTreeMap, fmt, fs, io::Write as _, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    config::{CommonArgs, DatabaseChoice, Problems},
    sealing::{Key, KeyRing},
};

/// The secrets that seal and hash.
#[derive(Clone)]
pub struct Keys {
    encryption: BTreeMap<u16, Key>,
    /// The secret every keyed hash is derived from.
    pub hash: Key,
}

impl Keys {
    /// The keys of the settings, or, with the private server, those kept beside its data. `None`
    /// when something is wrong, which `problems` then names.
    pub fn parse(args: &CommonArgs, database: &DatabaseChoice, problems: &mut Problems) -> Option<Keys> {
        let encryption =
            problems.secret("ENCRYPTION_KEYS", args.encryption_keys.as_deref(), args.encryption_keys_file.as_deref());
        let hash = problems.secret("HASH_KEY", args.hash_key.as_deref(), args.hash_key_file.as_deref());
        let (DatabaseChoice::Embedded(home), None, None) = (database, &encryption, &hash) else {
            return given_keys(encryption, hash, problems);
        };
        // The private server's data is sealed under keys that lie beside it: found again at the next
        // start, and of no use to anybody who has not got the folder.
        let made = || BASE64_STANDARD.encode(Keys::random().hash.as_slice());
        let keys = kept(&home.join("keys").join("encryption"), || format!("1:{}", made()))
            .and_then(|encryption| Ok((encryption, kept(&home.join("keys").join("hash"), made)?)));
        match keys {
            Ok((encryption, hash)) => given_keys(Some(encryption), Some(hash), problems),
            Err(error) => {
                problems.add("TEPPAN_HOME", format!("its keys can be neither read nor made: {error}"));
                None
            }
        }
    }

    #[expect(clippy::missing_panics_doc, reason = "there is no way to make this without a key")]
    pub fn ring(&self) -> KeyRing {
        KeyRing::new(&self.encryption).expect("has a key")
    }

    /// Keys made at random.
    pub fn random() -> Self {
        let random = || {
            let mut key = Zeroizing::new([0; 32]);
            rand::rng().fill_bytes(key.as_mut_slice());
            key
        };
        Self { encryption: BTreeMap::from([(1, random())]), hash: random() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

fn given_keys(encryption: Option<SecretString>, hash: Option<SecretString>, problems: &mut Problems) -> Option<Keys> {
    let must = "must be VERSION:BASE64 pairs separated by commas, each 32 bytes, the versions different";
    let encryption = match encryption {
        None => {
            problems.add("ENCRYPTION_KEYS", "is required with DATABASE_URL");
            None
        }
        Some(raw) => {
            let keys = parse_key_ring(raw.expose_secret());
            if keys.is_none() {
                problems.add("ENCRYPTION_KEYS", must);
            }
            keys
        }
    };
    let hash = match hash {
        None => {
            problems.add("HASH_KEY", "is required with DATABASE_URL");
            None
        }
        Some(raw) => {
            let key = parse_key(raw.expose_secret());
            if key.is_none() {
                problems.add("HASH_KEY", "must be base64 of 32 bytes");
            }
            key
        }
    };
    Some(Keys { encryption: encryption?, hash: hash? })
}

fn parse_key_ring(raw: &str) -> Option<BTreeMap<u16, Key>> {
    let mut keys = BTreeMap::new();
    for pair in raw.split(',') {
        let (version, key) = pair.trim().split_once(':')?;
        if keys.insert(version.parse().ok()?, parse_key(key)?).is_some() {
            return None;
        }
    }
    Some(keys)
}

fn parse_key(raw: &str) -> Option<Key> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(raw.trim()).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// The secret in this file; made, and kept for the next start, when there is none. When two
/// processes make it at once the first one's is used by both: a hard link never replaces a file.
fn kept(path: &Path, make: impl Fn() -> String) -> std::io::Result<SecretString> {
    if !path.exists() {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?; // mode 0600
        new.write_all(make().as_bytes())?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(path) {
            Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.error),
            _ => {}
        }
    }
    fs::read_to_string(path).map(|text| SecretString::from(text.trim()))
}
