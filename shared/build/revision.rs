//! The text that `--version` prints: the version and, in a release build from a git checkout, the revision. Part of the
//! build scripts of both services.
//!
//! A debug build has no revision, because otherwise every commit would recompile both services and their tests.

use std::{env, path::Path, process::Command};

/// The variable with the revision for builds without a git checkout, such as that of an image.
const REVISION: &str = "TEPPAN_REVISION";
/// The sources of the programs outside the package itself.
const SOURCES: [&str; 4] = ["../Cargo.lock", "../Cargo.toml", "../proto", "../shared"];

/// Sets `TEPPAN_VERSION` and, if it is known, `TEPPAN_REVISION` for the compiler.
pub fn set() {
    println!("cargo:rerun-if-env-changed={REVISION}");
    let given = env::var(REVISION).ok().filter(|revision| !revision.trim().is_empty());
    let revision = given.or_else(|| (env::var("PROFILE").as_deref() == Ok("release")).then(of_release)?);
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match revision.as_deref().map(str::trim) {
        Some(revision) => {
            println!("cargo:rustc-env={REVISION}={revision}");
            println!("cargo:rustc-env=TEPPAN_VERSION={version} ({revision})");
        }
        None => println!("cargo:rustc-env=TEPPAN_VERSION={version}"),
    }
}

/// The revision of the checkout. The build script runs again when the revision or a source changes.
fn of_release() -> Option<String> {
    let root = Path::new("..");
    for source in SOURCES.iter().chain(&["src", "queries"]) {
        println!("cargo:rerun-if-changed={source}");
    }
    for file in ["HEAD", "logs/HEAD", "index"] {
        let path = git(root, &["rev-parse", "--path-format=absolute", "--git-path", file]);
        // Cargo treats a missing file as always changed.
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    of(root)
}

/// The revision that is checked out in this folder, with a mark if files differ from it. `None` without git, or if the
/// folder is inside the checkout of another project.
pub fn of(root: &Path) -> Option<String> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let revision = git(root, &["rev-parse", "--short=12", "HEAD"])?;
    // Without locks, because a change of the index would trigger this build script again.
    let is_clean = git(root, &["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_clean { revision } else { format!("{revision}-modified") })
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
