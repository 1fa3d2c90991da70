//! Prepares `initdb` for folders with special characters and for users without a name.
//!
//! `initdb` runs `postgres` through a shell, which expands special characters in the path of the programs. It also
//! looks up the name of its user, and on platforms such as OpenShift the user of a container has none. If neither is a
//! problem, `initdb` is run directly.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use super::account::Account;
use super::error::EmbeddedError;
use super::programs::Programs;

/// The characters that a shell expands inside double quotes, which `initdb` puts around the path.
const SPECIAL: [char; 4] = ['$', '"', '`', '\\'];

/// How many levels above its own folder a program may look for its files. Debian has `/usr/lib/postgresql/15/bin` and
/// `/usr/share/postgresql/15`.
const LEVELS: usize = 4;

/// A library that returns a user name to `initdb`; see `user_name.c`.
#[cfg(target_os = "linux")]
const USER_NAME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/user_name.so"));
#[cfg(not(target_os = "linux"))]
const USER_NAME: &[u8] = &[];

/// A prepared `initdb`.
pub(super) struct Initdb {
    program: PathBuf,
    user_name: Option<PathBuf>,
    /// The temporary folder of the prepared files, if any are needed.
    _scratch: Option<TempDir>,
}

impl Initdb {
    /// Prepares the files that `initdb` needs to run as this account, in `folder`, or in the system's temporary folder
    /// if the path of `folder` has special characters.
    pub(super) async fn prepare(programs: &Programs, account: &Account, folder: &Path) -> Result<Self, EmbeddedError> {
        let program = programs.path("initdb");
        let is_odd = program.to_string_lossy().contains(SPECIAL);
        let lacks_name = !USER_NAME.is_empty() && !has_user_name(account).await;
        if !is_odd && !lacks_name {
            return Ok(Self { program, user_name: None, _scratch: None });
        }
        let scratch = scratch(folder)?;
        let failed = |source| EmbeddedError::io("prepare initdb in", scratch.path())(source);
        // The account must be able to enter the folder; its files are not secret.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let user_name = lacks_name.then(|| scratch.path().join("user_name.so"));
        if let Some(library) = &user_name {
            fs::write(library, USER_NAME).map_err(failed)?;
        }
        let program = if is_odd { mirror(&program, scratch.path()).map_err(failed)? } else { program };
        Ok(Self { program, user_name, _scratch: Some(scratch) })
    }

    /// The command, without arguments.
    pub(super) fn command(&self, account: &Account) -> Command {
        let mut command = account.command(&self.program);
        if let Some(library) = &self.user_name {
            command.env("LD_PRELOAD", library);
        }
        command
    }
}

/// Whether the system has a name for the account's user; `false` if the program `id` is missing.
async fn has_user_name(account: &Account) -> bool {
    let asked = account.command(Path::new("id")).arg("-un").stdin(Stdio::null()).output().await;
    asked.is_ok_and(|answer| answer.status.success())
}

/// A new folder whose path has no character that is special to a shell or to the dynamic linker.
fn scratch(folder: &Path) -> Result<TempDir, EmbeddedError> {
    let is_plain =
        |path: &Path| path.to_string_lossy().chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    let parents = [folder.to_owned(), std::env::temp_dir(), PathBuf::from("/tmp")];
    let parent = parents.iter().find(|parent| is_plain(parent)).unwrap_or(&parents[2]);
    tempfile::Builder::new()
        .prefix("teppan-initdb-")
        .tempdir_in(parent)
        .map_err(EmbeddedError::io("make a folder in", parent))
}

/// Copies `initdb` and `postgres` into a folder in `scratch`. They look for their other files relative to their real
/// path, so these files are linked at the same relative paths. Returns the path of the copied `initdb`.
fn mirror(initdb: &Path, scratch: &Path) -> io::Result<PathBuf> {
    let bin = initdb.parent().unwrap_or(initdb);
    // Only up to the first folder with a special name: packages use plain names for these folders.
    let inner: Vec<&Path> = bin
        .ancestors()
        .take(LEVELS)
        .take_while(|folder| !folder.to_string_lossy().is_empty() && folder.file_name().is_some_and(is_special_free))
        .collect();
    let mut copy = scratch.to_owned();
    for folder in inner.iter().rev() {
        let name = folder.file_name().unwrap_or_default();
        for entry in fs::read_dir(folder.parent().unwrap_or(folder))? {
            let entry = entry?;
            if entry.file_name() != name {
                symlink(entry.path(), copy.join(entry.file_name()))?;
            }
        }
        copy.push(name);
        fs::create_dir(&copy)?;
    }
    for program in ["initdb", "postgres"] {
        fs::copy(bin.join(program), copy.join(program))?;
    }
    Ok(copy.join("initdb"))
}

fn is_special_free(name: &std::ffi::OsStr) -> bool {
    !name.to_string_lossy().contains(SPECIAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_programs_have_plain_paths_and_find_their_files_beside_and_above_them() {
        let odd = tempfile::tempdir().unwrap();
        let root = odd.path().join(r#"it's "$HOME" `here`"#);
        let bin = root.join("usr/lib/postgresql/15/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(root.join("usr/share/postgresql/15")).unwrap();
        for program in ["initdb", "postgres", "psql"] {
            fs::write(bin.join(program), program).unwrap();
        }
        fs::write(root.join("usr/share/postgresql/15/postgres.bki"), "bootstrap").unwrap();

        let scratch = tempfile::tempdir().unwrap();
        let initdb = mirror(&bin.join("initdb"), scratch.path()).unwrap().canonicalize().unwrap();
        assert!(!initdb.to_string_lossy().contains(SPECIAL), "{}", initdb.display());
        let bin = initdb.parent().unwrap();
        assert_eq!(fs::read_to_string(bin.join("postgres")).unwrap(), "postgres");
        let share = bin.join("../../../../share/postgresql/15/postgres.bki");
        assert_eq!(fs::read_to_string(share).unwrap(), "bootstrap");
    }
}
