//! The password of an embedded server: made once, kept in a file only the account can read.

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

/// Makes a new password, on disk before it is used, in place of any that was there.
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
    account.give(path)?;
    Ok(password)
}

/// Reads the password that was made with the data beside it.
pub(super) fn read(path: &Path) -> Result<SecretString, EmbeddedError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned().into()),
        Err(source) => Err(EmbeddedError::PasswordLost { path: path.to_owned(), source }),
    }
}
