//! Finds PostgreSQL's server programs on this machine.
//!
//! It searches in this order: the folder in `POSTGRES_BIN_DIR`; the programs that `make setup` installed in the home
//! folder; the newest of Debian's; other usual folders; the search path.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::EmbeddedError;

/// The oldest version that the services' SQL is tested with.
const OLDEST_MAJOR: u32 = 14;

/// The programs that a folder must have.
const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Folders with a subfolder for each version: the parent, the prefix of the subfolder's name, and the path of the
/// programs in it.
const USUAL_FOLDERS: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ("/usr/local", "pgsql", "bin"),
];

/// A folder with PostgreSQL's programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    folder: PathBuf,
    pub(super) major: u32,
}

impl Programs {
    /// The first programs found. If `data` exists, the first programs of the version that created it, because no other
    /// version can open it.
    pub(super) async fn find(home: &Path, data: Option<&Path>) -> Result<Self, EmbeddedError> {
        let found = match std::env::var_os("POSTGRES_BIN_DIR").filter(|set| !set.is_empty()) {
            Some(folder) => vec![Self::in_named_folder(Path::new(&folder)).await?],
            None => Self::in_folders(&candidates(home)).await?,
        };
        let made = data.and_then(|data| Some((data, version_of_data(data)?)));
        let Some((data, needed)) = made else {
            return Ok(found[0].clone());
        };
        found.iter().find(|programs| programs.major == needed).cloned().ok_or_else(|| EmbeddedError::OtherVersion {
            data: data.to_owned(),
            needed,
            found: join(found.iter().map(|programs| programs.major.to_string())),
        })
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Never empty.
    async fn in_folders(folders: &[PathBuf]) -> Result<Vec<Self>, EmbeddedError> {
        let mut found = Vec::new();
        for folder in folders {
            found.extend(Self::in_folder(folder).await);
        }
        if found.is_empty() {
            return Err(EmbeddedError::NoPrograms {
                oldest: OLDEST_MAJOR,
                looked_at: join(folders.iter().map(|folder| folder.display().to_string())),
            });
        }
        Ok(found)
    }

    async fn in_named_folder(folder: &Path) -> Result<Self, EmbeddedError> {
        Self::in_folder(folder)
            .await
            .ok_or_else(|| EmbeddedError::WrongProgramsFolder { folder: folder.to_owned(), oldest: OLDEST_MAJOR })
    }

    async fn in_folder(folder: &Path) -> Option<Self> {
        // Absolute, because the programs run in another working folder.
        let folder = folder.canonicalize().ok()?;
        if !NEEDED.iter().all(|name| folder.join(name).is_file()) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().await.ok()?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
        (major >= OLDEST_MAJOR).then_some(Self { folder, major })
    }
}

fn candidates(home: &Path) -> Vec<PathBuf> {
    let mut folders = vec![home.join("tools/postgres/bin")];
    for (parent, prefix, rest) in USUAL_FOLDERS {
        folders.extend(newest_first(Path::new(parent), prefix).into_iter().map(|f| f.join(rest)));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
    folders
}

/// The folders in `parent` with this prefix, ordered by the number in their name, highest first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            Some((leading_number(version).unwrap_or(0), entry.path()))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// From `postgres (PostgreSQL) 15.14 (Debian …)`.
fn major_version(version_line: &str) -> Option<u32> {
    leading_number(version_line.split(") ").nth(1)?)
}

fn version_of_data(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("PG_VERSION")).ok()?;
    leading_number(&text)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_output_of_any_package() {
        for (line, major) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", 15),
            ("postgres (PostgreSQL) 18.6", 18),
            ("postgres (PostgreSQL) 19beta1", 19),
        ] {
            assert_eq!(major_version(line), Some(major), "{line}");
        }
        assert_eq!(major_version("command not found"), None);
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_alphabetically() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["pgsql-9.6", "pgsql-15", "pgsql-17", "other-20"] {
            fs::create_dir(parent.path().join(version)).unwrap();
        }
        let order: Vec<_> =
            newest_first(parent.path(), "pgsql-").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(order, ["pgsql-17", "pgsql-15", "pgsql-9.6"]);
    }

    #[tokio::test]
    async fn if_no_programs_are_found_the_error_states_the_remedies() {
        let nowhere = [PathBuf::from("/nowhere/bin")];
        let message = Programs::in_folders(&nowhere).await.unwrap_err().to_string();
        for hint in ["make setup", "POSTGRES_BIN_DIR", "DATABASE_URL", "/nowhere/bin"] {
            assert!(message.contains(hint), "{message}");
        }
    }
}
