//! `initdb`, prepared for folders with odd names and for users without a name.
//!
//! `initdb` runs `postgres` through a shell, which expands special characters in the path of the programs. It also
//! asks the system for its user's name, and platforms such as OpenShift have none for the user of a container. Where
//! neither is a problem, `initdb` is run directly.

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

/// How far above its own folder a program may look for its files, in folders: Debian has
/// `/usr/lib/postgresql/15/bin` and `/usr/share/postgresql/15`.
const LEVELS: usize = 4;

/// A library that gives `initdb` a name for its user; see `user_name.c`.
#[cfg(target_os = "linux")]
const USER_NAME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/user_name.so"));
#[cfg(not(target_os = "linux"))]
const USER_NAME: &[u8] = &[];

/// How to run `initdb`.
pub(super) struct Initdb {
    program: PathBuf,
    user_name: Option<PathBuf>,
    /// The folder of the prepared files, if any are needed.
    _scratch: Option<TempDir>,
}

impl Initdb {
    /// Prepares what `initdb` needs to run as this account: in `folder`, or in the system's temporary folder where that
    /// path has special characters itself.
    pub(super) async fn prepare(programs: &Programs, account: &Account, folder: &Path) -> Result<Self, EmbeddedError> {
        let program = programs.path("initdb");
        let is_odd = program.to_string_lossy().contains(SPECIAL);
        let lacks_name = !USER_NAME.is_empty() && !has_user_name(account).await;
        if !is_odd && !lacks_name {
            return Ok(Self { program, user_name: None, _scratch: None });
        }
        let scratch = scratch(folder)?;
        let failed = |source| EmbeddedError::io("prepare initdb in", scratch.path())(source);
        // The account has to get in; nothing here is secret.
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

/// Whether the system knows a name for the account's user; `false` where there is no program `id`.
async fn has_user_name(account: &Account) -> bool {
    let asked = account.command(Path::new("id")).arg("-un").stdin(Stdio::null()).output().await;
    asked.is_ok_and(|answer| answer.status.success())
}

/// A new folder whose path has no character that is special to a shell or to the dynamic linker.
fn scratch(folder: &Path) -> Result<TempDir, EmbeddedError> {
    let is_plain =
        |path: &Path| path.to_string_lossy().chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    let places = [folder.to_owned(), std::env::temp_dir(), PathBuf::from("/tmp")];
    let place = places.iter().find(|place| is_plain(place)).unwrap_or(&places[2]);
    tempfile::Builder::new()
        .prefix("teppan-initdb-")
        .tempdir_in(place)
        .map_err(EmbeddedError::io("make a folder in", place))
}

/// Puts `initdb`, and the `postgres` beside it, into a folder in `scratch`, where they find their
/// other files: they look for these relative to where they really are, so the two are copies and
/// everything around them is links. Returns the path of the new `initdb`.
fn mirror(initdb: &Path, scratch: &Path) -> io::Result<PathBuf> {
    let bin = initdb.parent().unwrap_or(initdb);
    // Only as far up as the names are plain: packagers choose plain names for these folders.
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
    fn mirrored_programs_have_plain_paths_and_find_what_is_beside_and_above_them() {
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
