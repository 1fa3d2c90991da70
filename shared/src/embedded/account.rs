//! The user that PostgreSQL's programs run as.
//!
//! PostgreSQL refuses to run as root. An ordinary user runs it directly. Root runs it as another user through
//! `setpriv`, which every Debian system has.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::environment::postgres_variables;
use super::error::EmbeddedError;
use super::programs::Programs;

/// The user "nobody" of Linux, if everything belongs to root.
const NOBODY: u32 = 65_534;

/// Capabilities to try, in this order, if the account cannot access its files. The right to read is enough, but the
/// default set of a container often has only the stronger one.
const CAPABILITIES: [Option<&str>; 3] = [None, Some("dac_read_search"), Some("dac_override")];

/// Succeeds if the account can enter the folder `$1` and run the program `$2`.
const REACH: &str = r#"cd "$1" && test -x "$2" || { echo "permission denied" >&2; exit 1; }"#;

/// The user that PostgreSQL's programs run as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// `None` is this process's own user.
    other: Option<OtherUser>,
}

#[derive(Debug, Clone)]
struct OtherUser {
    uid: u32,
    gid: u32,
    /// The capability to enter folders that only root may enter.
    capability: Option<&'static str>,
}

impl Account {
    /// The account for a home. For an ordinary user it is that user. For root it is the owner of `folder` (which has
    /// the data of an earlier start), or the owner of the home, or "nobody"; the first of them that is not root.
    pub(super) fn choose(home: &Path, folder: &Path) -> Result<Self, EmbeddedError> {
        let me = my_uid()?;
        if me != 0 {
            return Ok(Self { other: None });
        }
        let (uid, gid) = [folder, home]
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|found| (found.uid(), found.gid()))
            .find(|(uid, _)| *uid != 0)
            .unwrap_or((NOBODY, NOBODY));
        Ok(Self { other: Some(OtherUser { uid, gid, capability: None }) })
    }

    /// Finds the least capability with which the account can access the programs and the folder.
    ///
    /// A project under `/root` is closed to every other user. A capability that survives the change of user gives
    /// access without changing the permissions of folders.
    pub(super) async fn with_access_to(self, programs: &Programs, folder: &Path) -> Result<Self, EmbeddedError> {
        let Some(other) = self.other else {
            return Ok(self);
        };
        let mut reason = String::new();
        for capability in CAPABILITIES {
            let candidate = Self { other: Some(OtherUser { capability, ..other.clone() }) };
            let probe = candidate
                .command(Path::new("sh"))
                .args(["-c", REACH, "reach"])
                .arg(folder)
                .arg(programs.path("postgres"))
                .stdin(Stdio::null())
                .output()
                .await;
            match probe {
                Ok(output) if output.status.success() => return Ok(candidate),
                Ok(output) => reason = String::from_utf8_lossy(&output.stderr).trim().into(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(EmbeddedError::NoSetpriv { uid: other.uid });
                }
                Err(error) => {
                    return Err(EmbeddedError::io("run", Path::new("setpriv"))(error));
                }
            }
        }
        Err(EmbeddedError::Unreachable {
            uid: other.uid,
            programs: programs.path("postgres"),
            folder: folder.to_owned(),
            reason,
        })
    }

    /// A command that runs `program` as this account, without signals of the terminal and without environment variables
    /// that PostgreSQL's programs read as settings.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match &self.other {
            None => Command::new(program),
            Some(other) => {
                let mut setpriv = Command::new("setpriv");
                setpriv.args([
                    format!("--reuid={}", other.uid),
                    format!("--regid={}", other.gid),
                    "--clear-groups".to_owned(),
                ]);
                if let Some(capability) = other.capability {
                    // PostgreSQL finds its own programs with access(2), which ignores capabilities without this bit.
                    setpriv.arg("--securebits=+no_setuid_fixup");
                    setpriv.arg(format!("--inh-caps=+{capability}"));
                    setpriv.arg(format!("--ambient-caps=+{capability}"));
                }
                setpriv.arg("--").arg(program);
                setpriv
            }
        };
        for name in postgres_variables() {
            command.env_remove(name);
        }
        // The account may not be able to access the current folder. In a process group of its own, the program does not
        // receive Ctrl-C from the terminal; the process that started the server stops it in order.
        command.env("LC_ALL", "C").current_dir("/").process_group(0);
        command
    }

    /// Makes the account the owner of a file or folder.
    pub(super) fn make_owner_of(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(other) = &self.other else {
            return Ok(());
        };
        chown(path, Some(other.uid), Some(other.gid)).map_err(EmbeddedError::io("change the owner of", path))
    }

    /// Makes the account the owner of a folder and everything in it, unless it already is.
    pub(super) fn make_owner_of_tree(&self, folder: &Path) -> Result<(), EmbeddedError> {
        let Some(other) = &self.other else {
            return Ok(());
        };
        let found = fs::metadata(folder).map_err(EmbeddedError::io("inspect", folder))?;
        if found.uid() == other.uid {
            return Ok(());
        }
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).map_err(EmbeddedError::io("list", &next))? {
                let entry = entry.map_err(EmbeddedError::io("list", &next))?;
                let path = entry.path();
                lchown(&path, Some(other.uid), Some(other.gid))
                    .map_err(EmbeddedError::io("change the owner of", &path))?;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                }
            }
        }
        // Last, because the owner of the folder is the sign that everything in it was changed.
        self.make_owner_of(folder)
    }
}

/// The user id of this process, from a file that it creates. The standard library has no other way, and `/proc` does
/// not exist on every system.
pub(super) fn my_uid() -> Result<u32, EmbeddedError> {
    tempfile::tempfile()
        .and_then(|file| file.metadata())
        .map(|file| file.uid())
        .map_err(EmbeddedError::io("make a file in", &std::env::temp_dir()))
}
