//! The project's home folder (`.teppan`) and what is made in it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::account::{Account, my_uid};
use super::error::EmbeddedError;

/// Makes the home folder where it is missing and returns its absolute path.
///
/// Made by root, it is given to whoever owns the folder around it: after a `sudo make demo` in
/// an ordinary user's checkout, that user can still use what was made.
pub fn prepare(home: &Path) -> Result<PathBuf, EmbeddedError> {
    let is_new = !home.exists();
    fs::create_dir_all(home).map_err(EmbeddedError::io("create", home))?;
    let home = home.canonicalize().map_err(EmbeddedError::io("find", home))?;

    if is_new && my_uid()? == 0 {
        let around = home.parent().unwrap_or(&home);
        let owner = fs::metadata(around).map_err(EmbeddedError::io("look at", around))?;
        chown(&home, Some(owner.uid()), Some(owner.gid())).map_err(EmbeddedError::io("give away", &home))?;
    }
    Ok(home)
}

/// Makes a folder that only the account may enter, where it is missing.
pub(super) fn make_private_folder(path: &Path, account: &Account) -> Result<(), EmbeddedError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(EmbeddedError::io("create", path))?;
    account.give(path)
}
