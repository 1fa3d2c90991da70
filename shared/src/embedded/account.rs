//! As whom PostgreSQL's programs run.
//!
//! PostgreSQL refuses to run as root. An ordinary user runs it directly; root hands it to another
//! user through `setpriv`, which every Debian has.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::environment::postgres_variables;
use super::error::EmbeddedError;
use super::programs::Programs;

/// The "nobody" of Linux: the last resort when everything belongs to root.
const NOBODY: u32 = 65_534;

/// Capabilities tried in this order when the account cannot get to its files without one. Reading
/// is enough; a container's default set often has only the stronger one.
const CAPABILITIES: [Option<&str>; 3] = [None, Some("dac_read_search"), Some("dac_override")];

/// Succeeds where the account can enter the folder `$1` and run the program `$2`.
const REACH: &str = r#"cd "$1" && test -x "$2" || { echo "permission denied" >&2; exit 1; }"#;

/// The user PostgreSQL's programs run as.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// `None`: this process's own user.
    other: Option<OtherUser>,
}

#[derive(Debug, Clone)]
struct OtherUser {
    uid: u32,
    gid: u32,
    /// What lets it through folders that only root may enter.
    capability: Option<&'static str>,
}

impl Account {
    /// The account for a home: one's own, or, for root, whoever owns `folder` already (it holds
    /// the data of an earlier start), else the owner of the home, else "nobody".
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

    /// Finds the least right with which the account can get to the programs and the folder.
    ///
    /// A project under `/root` is closed to every other user. A capability that survives the
    /// change of user opens the way without loosening anybody's folders.
    pub(super) async fn reaching(self, programs: &Programs, folder: &Path) -> Result<Self, EmbeddedError> {
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

    /// A command that will run `program` as this account, away from the terminal's signals and
    /// from settings of the environment that PostgreSQL's programs would take as theirs.
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
                    // Without this bit access(2), with which PostgreSQL looks for its own
                    // programs, ignores capabilities.
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
        // The working folder may be closed to the account. A process group of its own keeps
        // Ctrl-C from the terminal away: whoever started the server stops it, in order.
        command.env("LC_ALL", "C").current_dir("/").process_group(0);
        command
    }

    /// Makes the account the owner of a file or folder.
    pub(super) fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(other) = &self.other else {
            return Ok(());
        };
        chown(path, Some(other.uid), Some(other.gid)).map_err(EmbeddedError::io("give away", path))
    }

    /// Makes the account the owner of a folder and everything in it, unless it is already.
    pub(super) fn give_tree(&self, folder: &Path) -> Result<(), EmbeddedError> {
        let Some(other) = &self.other else {
            return Ok(());
        };
        let found = fs::metadata(folder).map_err(EmbeddedError::io("look at", folder))?;
        if found.uid() == other.uid {
            return Ok(());
        }
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).map_err(EmbeddedError::io("list", &next))? {
                let entry = entry.map_err(EmbeddedError::io("list", &next))?;
                let path = entry.path();
                lchown(&path, Some(other.uid), Some(other.gid)).map_err(EmbeddedError::io("give away", &path))?;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                }
            }
        }
        // Last, because its owner is what says that everything was given.
        self.give(folder)
    }
}

/// The user this process acts as, seen from a file it makes: the standard library has no other
/// way, and `/proc` is not everywhere.
pub(super) fn my_uid() -> Result<u32, EmbeddedError> {
    tempfile::tempfile()
        .and_then(|file| file.metadata())
        .map(|file| file.uid())
        .map_err(EmbeddedError::io("make a file in", &std::env::temp_dir()))
}
