//! What `--version` prints.

#[path = "../../shared/build/revision.rs"]
#[expect(dead_code, reason = "the rest of it is for build scripts")]
mod revision;

use std::{fs, path::Path, process::Command};

use teppan_tests::launch::binary;

#[test]
fn both_programs_print_their_name_and_version() {
    for name in ["booking-service", "conversation-service"] {
        let output = Command::new(binary(name)).arg("--version").output().expect("the binary is built");
        let printed = String::from_utf8(output.stdout).expect("text");
        let expected = format!("{name} {}", env!("CARGO_PKG_VERSION"));
        assert!(output.status.success() && printed.trim().starts_with(&expected), "{printed}");
    }
}

#[test]
fn the_revision_names_the_commit_and_marks_changed_files_and_is_absent_without_a_checkout() {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("skipped: git is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    assert_eq!(revision::of(root), None);
    git(root, &["init", "--quiet"]);
    fs::write(root.join("file"), "one").expect("written");
    git(root, &["add", "file"]);
    git(root, &["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "First"]);
    let clean = revision::of(root).expect("a revision");
    assert!(clean.len() == 12 && clean.chars().all(|c| c.is_ascii_hexdigit()), "{clean}");
    fs::write(root.join("file"), "two").expect("written");
    assert_eq!(revision::of(root), Some(format!("{clean}-modified")));
    let inner = root.join("inner");
    fs::create_dir(&inner).expect("a folder");
    assert_eq!(revision::of(&inner), None, "a folder that git does not track has no revision");
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").arg("-C").arg(folder).args(arguments).status().expect("git runs");
    assert!(status.success(), "{arguments:?}");
}
