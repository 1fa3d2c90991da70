//! The project's home folder (`.teppan`) and what is made in it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::account::{Account, my_uid};
use super::error::EmbeddedError;

/// Makes the home folder where it is missing and returns its absolute path.
///
/// Made by root, it is given to whoever owns the folder around it: after a `sudo make demo` in
/// an ordinary user's checkout, that user can still use what was made.
///
/// # Errors
/// The folder cannot be made, or another user owns the keys or the data in it, or the folder cannot be written to.
pub fn prepare(home: &Path) -> Result<PathBuf, EmbeddedError> {
    let is_new = !home.exists();
    fs::create_dir_all(home).map_err(EmbeddedError::io("create", home))?;
    let home = home.canonicalize().map_err(EmbeddedError::io("find", home))?;

    let me = my_uid()?;
    if me != 0 {
        refuse_what_is_not_ours(&home, me)?;
    } else if is_new {
        let around = home.parent().unwrap_or(&home);
        let owner = fs::metadata(around).map_err(EmbeddedError::io("look at", around))?;
        chown(&home, Some(owner.uid()), Some(owner.gid())).map_err(EmbeddedError::io("give away", &home))?;
    }
    Ok(home)
}

/// The home may belong to any user, as long as this one can write to it. The keys and the data in it must be this
/// user's own.
fn refuse_what_is_not_ours(home: &Path, me: u32) -> Result<(), EmbeddedError> {
    let refuse = |path: &Path, found: &fs::Metadata| EmbeddedError::OtherOwner {
        path: path.to_owned(),
        home: home.to_owned(),
        owner: found.uid(),
        me,
    };
    for inside in ["keys", "keys/encryption", "keys/hash", "postgres", "postgres/data"] {
        let path = home.join(inside);
        match fs::metadata(&path) {
            Ok(found) if found.uid() != me => return Err(refuse(&path, &found)),
            _ => {}
        }
    }
    match (tempfile::tempfile_in(home), fs::metadata(home)) {
        (Err(error), Ok(found)) if error.kind() == ErrorKind::PermissionDenied && found.uid() != me => {
            Err(refuse(home, &found))
        }
        (Err(error), _) => Err(EmbeddedError::io("write to", home)(error)),
        (Ok(_), _) => Ok(()),
    }
}

/// Makes a folder that only the account may enter, where it is missing.
pub(super) fn make_private_folder(path: &Path, account: &Account) -> Result<(), EmbeddedError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(EmbeddedError::io("create", path))?;
    account.give(path)
}
