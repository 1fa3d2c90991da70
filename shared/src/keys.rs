//! The secrets of the key ring, from which all keys are derived: their sources and their storage.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::ExitCode,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{
    config::{CommonArgs, DatabaseChoice, Problems},
    embedded,
    sealing::{Key, KeyRing, KeyedHash},
};

/// The key ring: versioned secrets. The keys that seal and the key of each keyed hash are derived from them.
#[derive(Clone)]
pub struct Keys {
    /// With their versions; the first one seals and makes new hashes.
    secrets: Vec<(u16, Key)>,
}

impl Keys {
    #[expect(clippy::missing_panics_doc, reason = "there is always a secret")]
    pub fn ring(&self) -> KeyRing {
        KeyRing::new(&self.secrets).expect("has a secret")
    }

    /// The keyed hash for a purpose.
    #[expect(clippy::missing_panics_doc, reason = "there is always a secret")]
    pub fn hash(&self, purpose: &str) -> KeyedHash {
        KeyedHash::new(&self.secrets, purpose).expect("has a secret")
    }

    /// Reads a ring from the format of `ENCRYPTION_KEYS`: pairs of version and secret, separated by commas or line
    /// breaks; empty lines and lines that begin with # are skipped. `None` when a pair is invalid, a version stands
    /// twice, or there is none.
    pub fn parse(raw: &str) -> Option<Self> {
        let mut secrets: Vec<(u16, Key)> = Vec::new();
        let lines = raw.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for pair in lines.flat_map(|line| line.split(',')) {
            let (version, key) = pair.trim().split_once(':')?;
            let version = version.parse().ok()?;
            if secrets.iter().any(|(taken, _)| *taken == version) {
                return None;
            }
            secrets.push((version, parse_key(key)?));
        }
        (!secrets.is_empty()).then_some(Self { secrets })
    }

    /// For each secret of the ring, its version and the keyed hash for a purpose under it alone.
    pub fn hash_by_version(&self, purpose: &str) -> impl Iterator<Item = (u16, KeyedHash)> {
        let hash = move |secret: &(u16, Key)| Some((secret.0, KeyedHash::new(std::slice::from_ref(secret), purpose)?));
        self.secrets.iter().filter_map(hash)
    }

    /// The ring in the format of `ENCRYPTION_KEYS`.
    pub fn to_text(&self) -> SecretString {
        let pair = |(version, secret): &(u16, Key)| format!("{version}:{}", BASE64_STANDARD.encode(secret.as_slice()));
        self.secrets.iter().map(pair).collect::<Vec<_>>().join(",").into()
    }

    /// A ring with one random secret.
    pub fn random() -> Self {
        Self { secrets: vec![(1, random_key())] }
    }
}

/// A random secret of this version, as it is written in `ENCRYPTION_KEYS`.
fn generate_key(version: u16) -> SecretString {
    format!("{version}:{}", BASE64_STANDARD.encode(random_key().as_slice())).into()
}

/// The command `generate-key`.
#[derive(Debug, Clone, Copy, Args)]
pub struct GenerateKeyCommand {
    /// Version of the key: a number that no key had before
    #[arg(long, default_value_t = 1)]
    version: u16,
}

impl GenerateKeyCommand {
    /// Prints a new secret, and returns the exit code of the process.
    pub fn run(self) -> ExitCode {
        match writeln!(io::stdout(), "{}", generate_key(self.version).expose_secret()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the key cannot be printed: {error}");
                ExitCode::FAILURE
            }
        }
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
        let none_given = args.encryption_keys.is_none() && args.encryption_keys_file.is_none();
        if let (DatabaseChoice::Embedded(home), true, true) = (database, none_given, embedded::IS_BUILT_IN) {
            return Some(Self::Kept(home.clone()));
        }
        let given =
            problems.secret("ENCRYPTION_KEYS", args.encryption_keys.as_deref(), args.encryption_keys_file.as_deref());
        let Some(given) = given else {
            problems.add("ENCRYPTION_KEYS", "is required with DATABASE_URL; `generate-key` makes one");
            return None;
        };
        let Some(keys) = Keys::parse(given.expose_secret()) else {
            let must = "must be VERSION:BASE64 pairs separated by commas or line breaks, each 32 bytes, the versions \
                        different; `generate-key` makes one";
            problems.add("ENCRYPTION_KEYS", must);
            return None;
        };
        Some(Self::Given(keys))
    }

    /// The keys. Those of the private server are created if it has no data yet.
    pub fn open(&self) -> Result<Keys, KeysError> {
        match self {
            Self::Given(keys) => Ok(keys.clone()),
            Self::Kept(home) => kept_keys(home),
        }
    }
}

/// The keys in `<home>/keys`. They are created only before there are data, because new keys could not open existing
/// data.
fn kept_keys(home: &Path) -> Result<Keys, KeysError> {
    let folder = home.join("keys");
    let may_make = !home.join("postgres").join("data").exists();
    let path = folder.join("encryption");
    if !may_make && !path.exists() {
        return Err(KeysError::Lost(path));
    }
    let ring = kept(&path, &|| generate_key(1)).map_err(|source| KeysError::Io { folder, source })?;
    Keys::parse(ring.expose_secret()).ok_or(KeysError::Unreadable(path))
}

fn random_key() -> Key {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(key.as_mut_slice());
    key
}

fn parse_key(raw: &str) -> Option<Key> {
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(raw.trim()).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// The secret in this file; created if the file does not exist. If two processes create it at once, both use the first
/// one, because `persist_noclobber` never replaces a file.
fn kept(path: &Path, make: &dyn Fn() -> SecretString) -> io::Result<SecretString> {
    if !path.exists() {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?; // mode 0600
        new.write_all(make().expose_secret().as_bytes())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_has_a_secret_a_line_or_separated_by_commas_and_may_have_comments() {
        let (one, two) = (generate_key(1), generate_key(2));
        let (one, two) = (one.expose_secret(), two.expose_secret());
        for ring in [format!("{two},{one}"), format!("# newest first\n{two}\n\n{one}\n")] {
            let ring = Keys::parse(&ring).expect("two secrets").ring();
            assert_eq!((ring.sealing_version(), ring.versions().collect::<Vec<_>>()), (2, vec![1, 2]));
        }
        for wrong in ["", "# none\n", "1:", "1:AAAA", "x", &format!("{one},{one}")] {
            assert!(Keys::parse(wrong).is_none(), "{wrong}");
        }
    }
}
