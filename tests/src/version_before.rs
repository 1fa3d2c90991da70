//! The programs of the previous version, built from its tag.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{harness::home, launch::Which};

/// The folder of another version's programs.
pub struct Programs {
    pub version: String,
    folder: PathBuf,
}

impl Programs {
    /// The revision that `VERSION_BEFORE` names, or the newest tag `v…` before this commit. Returns `None`, and prints
    /// a line, when there is none.
    pub fn of_the_version_before() -> Option<Self> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let named = std::env::var("VERSION_BEFORE").ok();
        let version = named
            .or_else(|| answer(&project, "git", &["describe", "--tags", "--match", "v[0-9]*", "--abbrev=0", "HEAD^"]));
        let Some(version) = version else {
            println!("SKIPPED: there is no tag of a version before this one (a clone may have left the tags behind)");
            return None;
        };
        let commit = answer(&project, "git", &["rev-parse", "--verify", &format!("{version}^{{commit}}")]);
        let commit = commit.unwrap_or_else(|| panic!("git knows no {version}"));
        let folder = home().join("versions").join(&commit);
        let programs = Self { version, folder };
        if ![Which::Booking, Which::Conversation].iter().all(|which| programs.path(*which).is_file()) {
            programs.build(&project, &commit);
        }
        Some(programs)
    }

    pub fn path(&self, which: Which) -> PathBuf {
        self.folder.join("target/debug").join(which.binary())
    }

    fn build(&self, project: &Path, commit: &str) {
        println!("building {} ...", self.version);
        std::fs::create_dir_all(&self.folder).expect("a folder");
        let archive = self.folder.join("source.tar");
        must(Command::new("git").current_dir(project).args(["archive", "--output"]).arg(&archive).arg(commit));
        must(Command::new("tar").arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&self.folder));
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", self.folder.join("target"));
        cargo.args(["build", "--locked", "--bin", Which::Booking.binary(), "--bin", Which::Conversation.binary()]);
        must(&mut cargo);
    }
}

fn answer(folder: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).current_dir(folder).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn must(command: &mut Command) {
    let Output { status, stderr, .. } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
}
