//! Values that are made from files, and made again when the files change.
//!
//! The files are read at intervals. A watch on a folder would miss some changes: Kubernetes swaps a symbolic link two
//! folders up, and network file systems report no changes.

use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{KeyValue, global};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error_chain::error_chain;

/// The largest file. Certificates, keys and credentials are far smaller.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file, and the setting that has its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    pub setting: &'static str,
    pub path: PathBuf,
}

/// Why a file cannot be used, with its setting and without its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct FileFault {
    pub setting: &'static str,
    pub problem: String,
}

impl FileFault {
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }
}

type Contents = Vec<Result<Vec<u8>, FileFault>>;
type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, FileFault> + Send + Sync>;

/// A value made from files. While the files cannot be used, the last good value stays in use.
pub struct Reloaded<T> {
    name: &'static str,
    files: Vec<NamedFile>,
    make: Make<T>,
    current: RwLock<Arc<T>>,
    checks: Mutex<Checks>,
}

/// Digests of the files' contents, because the contents may be keys.
struct Checks {
    /// The content of the current value.
    in_use: [u8; 32],
    /// The content that was reported as unusable. It is tried again, because a certificate may become valid.
    reported: Option<[u8; 32]>,
    /// The content at the last check.
    last: [u8; 32],
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files for the first time. `name` is the name in the log and the metrics, such as `server-certificate`;
    /// `make` gets the contents in the order of the files.
    ///
    /// # Errors
    /// The files cannot be read or used.
    pub fn open(
        name: &'static str,
        files: Vec<NamedFile>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, FileFault> + Send + Sync + 'static,
    ) -> Result<Self, FileFault> {
        let contents = read(&files);
        let found = digest(&contents);
        let value = make(&all(contents)?)?;
        Ok(Self {
            name,
            files,
            make: Box::new(make),
            current: RwLock::new(Arc::new(value)),
            checks: Mutex::new(Checks { in_use: found, reported: None, last: found }),
        })
    }

    /// The value of the newest usable files.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks the files every `interval`, until `stopping` is cancelled.
    #[expect(clippy::disallowed_methods, reason = "it is awaited here")]
    pub async fn follow(self: Arc<Self>, interval: Duration, stopping: CancellationToken) {
        self.report(false);
        while stopping.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            let this = Arc::clone(&self);
            // A file system may be slow.
            if let Err(error) = tokio::task::spawn_blocking(move || this.check()).await {
                tracing::error!(files = self.name, error = error_chain(&error), "checking files for changes failed");
            }
        }
    }

    /// Uses new content after it was the same in two checks, because files that belong together change one by one.
    fn check(&self) {
        let contents = read(&self.files);
        let found = digest(&contents);
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stable = std::mem::replace(&mut checks.last, found) == found;
        if !is_stable {
            return;
        }
        if checks.in_use == found {
            if checks.reported.take().is_some() {
                self.report(false);
                tracing::info!(files = self.name, "the files have the content that is in use again");
            }
            return;
        }
        match all(contents).and_then(|contents| (self.make)(&contents)) {
            Ok(value) => {
                checks.in_use = found;
                checks.reported = None;
                self.report(false);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                tracing::info!(files = self.name, "changed files are in use");
            }
            Err(error) if checks.reported.replace(found) != Some(found) => {
                self.report(true);
                tracing::error!(files = self.name, %error, "changed files cannot be used; the former content stays in use");
            }
            Err(_) => {}
        }
    }

    /// The gauge is looked up each time, because files may be opened before the metrics are set up.
    fn report(&self, is_unusable: bool) {
        let unusable = global::meter("teppan")
            .u64_gauge("teppan.files.unusable")
            .with_description("1 while changed files cannot be used and the former content stays in use.")
            .build();
        unusable.record(is_unusable.into(), &[KeyValue::new("files", self.name)]);
    }
}

fn read(files: &[NamedFile]) -> Contents {
    files.iter().map(|file| read_one(file).map_err(|error| unreadable(file, &error))).collect()
}

fn read_one(file: &NamedFile) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(&file.path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

fn unreadable(file: &NamedFile, error: &io::Error) -> FileFault {
    FileFault::new(file.setting, format!("cannot be read: {}", error.kind()))
}

fn all(contents: Contents) -> Result<Vec<Vec<u8>>, FileFault> {
    contents.into_iter().collect()
}

fn digest(contents: &Contents) -> [u8; 32] {
    let mut digest = Sha256::new();
    for content in contents {
        match content {
            Ok(content) => {
                digest.update([1]);
                digest.update((content.len() as u64).to_be_bytes());
                digest.update(content);
            }
            Err(fault) => {
                digest.update([0]);
                digest.update(fault.to_string());
            }
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(contents: &[Vec<u8>]) -> Result<String, FileFault> {
        let text = String::from_utf8(contents.concat());
        text.map_err(|_| FileFault::new("FIRST_FILE", "must be text"))
    }

    fn two_files(folder: &tempfile::TempDir) -> Vec<NamedFile> {
        let file = |setting, name| NamedFile { setting, path: folder.path().join(name) };
        vec![file("FIRST_FILE", "first"), file("SECOND_FILE", "second")]
    }

    #[test]
    fn a_stable_change_is_used_and_an_invalid_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        fs::write(&first, "a").unwrap();
        assert_eq!(
            Reloaded::open("test", two_files(&folder), text).err(),
            Some(FileFault::new("SECOND_FILE", "cannot be read: entity not found"))
        );
        fs::write(&second, "b").unwrap();
        let reloaded = Reloaded::open("test", two_files(&folder), text).unwrap();
        fs::write(&first, "A").unwrap();
        reloaded.check();
        assert_eq!(*reloaded.current(), "ab", "the second file may still change");
        fs::write(&second, "B").unwrap();
        reloaded.check();
        reloaded.check();
        assert_eq!(*reloaded.current(), "AB");

        fs::write(&first, [0xff]).unwrap();
        for _ in 0..3 {
            reloaded.check();
        }
        assert_eq!(*reloaded.current(), "AB");
        fs::remove_file(&first).unwrap();
        for _ in 0..3 {
            reloaded.check();
        }
        assert_eq!(*reloaded.current(), "AB");
        fs::write(&first, "c").unwrap();
        for _ in 0..2 {
            reloaded.check();
        }
        assert_eq!(*reloaded.current(), "cB");
    }

    #[test]
    fn files_that_become_valid_later_are_used_then() {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("first"), "a").unwrap();
        fs::write(folder.path().join("second"), "").unwrap();
        let is_valid = Arc::new(AtomicBool::new(true));
        let is_valid_now = Arc::clone(&is_valid);
        let make = move |contents: &[Vec<u8>]| {
            if is_valid_now.load(Relaxed) {
                text(contents)
            } else {
                Err(FileFault::new("FIRST_FILE", "is not valid yet"))
            }
        };
        let reloaded = Reloaded::open("test", two_files(&folder), make).unwrap();
        is_valid.store(false, Relaxed);
        fs::write(folder.path().join("first"), "b").unwrap();
        for _ in 0..3 {
            reloaded.check();
        }
        assert_eq!(*reloaded.current(), "a");
        is_valid.store(true, Relaxed);
        reloaded.check();
        assert_eq!(*reloaded.current(), "b");
    }

    #[test]
    fn a_swapped_symbolic_link_counts_as_a_change() {
        let folder = tempfile::tempdir().unwrap();
        for (version, content) in [("1", "old"), ("2", "new")] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("first"), content).unwrap();
            fs::write(folder.path().join(version).join("second"), "").unwrap();
        }
        let point_to = |version| {
            std::os::unix::fs::symlink(version, folder.path().join("swap")).unwrap();
            fs::rename(folder.path().join("swap"), folder.path().join("data")).unwrap();
        };
        point_to("1");
        for name in ["first", "second"] {
            std::os::unix::fs::symlink(format!("data/{name}"), folder.path().join(name)).unwrap();
        }
        let reloaded = Reloaded::open("test", two_files(&folder), text).unwrap();
        point_to("2");
        reloaded.check();
        reloaded.check();
        assert_eq!(*reloaded.current(), "new");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("first"), vec![b'a'; 1024 * 1024 + 1]).unwrap();
        fs::write(folder.path().join("second"), "").unwrap();
        let fault = Reloaded::open("test", two_files(&folder), text).err().unwrap();
        assert_eq!(fault.setting, "FIRST_FILE");
    }
}
