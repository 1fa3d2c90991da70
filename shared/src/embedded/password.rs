//! The password of an embedded server. It is made once and kept in a file that only the account can read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::distr::{Alphanumeric, SampleString};
use secrecy::{ExposeSecret, SecretString};

use super::account::Account;
use super::error::EmbeddedError;

/// 190 bits, in characters that need no escaping in a URL.
const LENGTH: usize = 32;

/// Makes a new password and replaces the old file. The file is on disk before the password is used.
pub(super) fn make(path: &Path, account: &Account) -> Result<SecretString, EmbeddedError> {
    let password: SecretString = Alphanumeric.sample_string(&mut rand::rng(), LENGTH).into();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(EmbeddedError::io("create", path))?;
    writeln!(file, "{}", password.expose_secret())
        .and_then(|()| file.sync_all())
        .map_err(EmbeddedError::io("write", path))?;
    account.make_owner_of(path)?;
    Ok(password)
}

/// Reads the password that was made together with the data.
pub(super) fn read(path: &Path) -> Result<SecretString, EmbeddedError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned().into()),
        Err(source) => Err(EmbeddedError::PasswordLost { path: path.to_owned(), source }),
    }
}
