//! The keys for sealing and hashing: their sources and their storage.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    config::{CommonArgs, DatabaseChoice, Problems},
    embedded,
    sealing::{Key, KeyRing},
};

/// The keys for sealing and hashing.
#[derive(Clone)]
pub struct Keys {
    /// With their versions; the first one seals.
    encryption: Vec<(u16, Key)>,
    /// The secret that every keyed hash is derived from.
    pub hash: Key,
}

impl Keys {
    #[expect(clippy::missing_panics_doc, reason = "there is always a key")]
    pub fn ring(&self) -> KeyRing {
        KeyRing::new(&self.encryption).expect("has a key")
    }

    /// Random keys.
    pub fn random() -> Self {
        Self { encryption: vec![(1, random_key())], hash: random_key() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// The source of the keys.
#[derive(Debug, Clone)]
pub enum KeysChoice {
    Given(Keys),
    /// The keys beside the private server's data, in this home folder.
    Kept(PathBuf),
}

/// Why the keys beside the private server's data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(
        "{} is missing, and without it the data beside it cannot be opened; restore the file, or move \
         that folder elsewhere to start with an empty database", .0.display()
    )]
    Lost(PathBuf),
    #[error("{} does not contain a key; restore the right file", .0.display())]
    Unreadable(PathBuf),
    #[error("the keys in {} can be neither read nor created", folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

impl KeysChoice {
    /// `None` when a setting is invalid; `problems` then has the reason. Keys may be absent only with the private
    /// server.
    pub fn parse(args: &CommonArgs, database: &DatabaseChoice, problems: &mut Problems) -> Option<Self> {
        let none_given = args.encryption_keys.is_none()
            && args.encryption_keys_file.is_none()
            && args.hash_key.is_none()
            && args.hash_key_file.is_none();
        if let (DatabaseChoice::Embedded(home), true, true) = (database, none_given, embedded::IS_BUILT_IN) {
            return Some(Self::Kept(home.clone()));
        }
        let encryption =
            problems.secret("ENCRYPTION_KEYS", args.encryption_keys.as_deref(), args.encryption_keys_file.as_deref());
        let hash = problems.secret("HASH_KEY", args.hash_key.as_deref(), args.hash_key_file.as_deref());
        given_keys(encryption.as_ref(), hash.as_ref(), problems).map(Self::Given)
    }

    /// The keys. Those of the private server are created if it has no data yet.
    pub fn open(&self) -> Result<Keys, KeysError> {
        match self {
            Self::Given(keys) => Ok(keys.clone()),
            Self::Kept(home) => kept_keys(home),
        }
    }
}

fn given_keys(encryption: Option<&SecretString>, hash: Option<&SecretString>, problems: &mut Problems) -> Option<Keys> {
    let encryption = match encryption.map(|raw| parse_key_ring(raw.expose_secret())) {
        None => {
            problems.add("ENCRYPTION_KEYS", "is required with DATABASE_URL");
            None
        }
        Some(None) => {
            let must = "must be VERSION:BASE64 pairs separated by commas, each 32 bytes, the versions different";
            problems.add("ENCRYPTION_KEYS", must);
            None
        }
        Some(keys) => keys,
    };
    let hash = match hash.map(|raw| parse_key(raw.expose_secret())) {
        None => {
            problems.add("HASH_KEY", "is required with DATABASE_URL");
            None
        }
        Some(None) => {
            problems.add("HASH_KEY", "must be base64 of 32 bytes");
            None
        }
        Some(key) => key,
    };
    Some(Keys { encryption: encryption?, hash: hash? })
}

/// The keys in `<home>/keys`. They are created only before there are data, because new keys could not open existing
/// data.
fn kept_keys(home: &Path) -> Result<Keys, KeysError> {
    let folder = home.join("keys");
    let may_make = !home.join("postgres").join("data").exists();
    let (encryption, hash) = (folder.join("encryption"), folder.join("hash"));
    let missing = |path: &Path| (!path.exists()).then(|| KeysError::Lost(path.to_owned()));
    if let (false, Some(lost)) = (may_make, missing(&encryption).or_else(|| missing(&hash))) {
        return Err(lost);
    }
    let random = || BASE64_STANDARD.encode(random_key().as_slice());
    let read = |path: &Path, make: &dyn Fn() -> String| {
        kept(path, make).map_err(|source| KeysError::Io { folder: folder.clone(), source })
    };
    let ring = read(&encryption, &|| format!("1:{}", random()))?;
    let key = read(&hash, &random)?;
    Ok(Keys {
        encryption: parse_key_ring(ring.expose_secret()).ok_or(KeysError::Unreadable(encryption))?,
        hash: parse_key(key.expose_secret()).ok_or(KeysError::Unreadable(hash))?,
    })
}

fn random_key() -> Key {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(key.as_mut_slice());
    key
}

fn parse_key_ring(raw: &str) -> Option<Vec<(u16, Key)>> {
    let mut keys: Vec<(u16, Key)> = Vec::new();
    for pair in raw.split(',') {
        let (version, key) = pair.trim().split_once(':')?;
        let version = version.parse().ok()?;
        if keys.iter().any(|(taken, _)| *taken == version) {
            return None;
        }
        keys.push((version, parse_key(key)?));
    }
    Some(keys)
}

fn parse_key(raw: &str) -> Option<Key> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(raw.trim()).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// The secret in this file; created if the file does not exist. If two processes create it at once, both use the first
/// one, because `persist_noclobber` never replaces a file.
fn kept(path: &Path, make: &dyn Fn() -> String) -> io::Result<SecretString> {
    if !path.exists() {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?; // mode 0600
        new.write_all(make().as_bytes())?;
        new.as_file().sync_all()?;
        make_owned_by_home_owner(folder.parent().unwrap_or(folder), &[folder, new.path()])?;
        match new.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
            _ => {}
        }
    }
    fs::read_to_string(path).map(|text| SecretString::from(text.trim()))
}

/// Makes the owner of the home the owner of files that root created, so that this user can read them.
fn make_owned_by_home_owner(home: &Path, files: &[&Path]) -> io::Result<()> {
    let owner = fs::metadata(home)?;
    for file in files {
        if fs::metadata(file)?.uid() != owner.uid() {
            chown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}
