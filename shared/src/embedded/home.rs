//! The project's home folder (`.teppan`) and the folders in it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use super::account::{Account, my_uid};
use super::error::EmbeddedError;

/// Creates the home folder if it is missing, and returns its absolute path.
///
/// If root creates it, the owner of the parent folder becomes its owner. So after a `sudo make demo` in an ordinary
/// user's checkout, that user can use the folder.
///
/// # Errors
/// The folder cannot be created or written to, or another user owns the keys or the data in it.
pub fn prepare(home: &Path) -> Result<PathBuf, EmbeddedError> {
    let is_new = !home.exists();
    fs::create_dir_all(home).map_err(EmbeddedError::io("create", home))?;
    let home = home.canonicalize().map_err(EmbeddedError::io("find", home))?;

    let me = my_uid()?;
    if me != 0 {
        check_ownership(&home, me)?;
    } else if is_new {
        let parent = home.parent().unwrap_or(&home);
        let owner = fs::metadata(parent).map_err(EmbeddedError::io("inspect", parent))?;
        chown(&home, Some(owner.uid()), Some(owner.gid())).map_err(EmbeddedError::io("change the owner of", &home))?;
    }
    Ok(home)
}

/// The home may belong to any user if this process can write to it. The keys and the data in it must belong to the user
/// of this process.
fn check_ownership(home: &Path, me: u32) -> Result<(), EmbeddedError> {
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

/// Creates a folder that only the account may enter, if it is missing.
pub(super) fn make_private_folder(path: &Path, account: &Account) -> Result<(), EmbeddedError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(EmbeddedError::io("create", path))?;
    account.make_owner_of(path)
}
