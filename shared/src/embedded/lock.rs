//! Locks between processes, on files in the home folder. The operating system releases them when a process ends, even
//! by `kill -9`, so no stale lock can remain.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::error::EmbeddedError;

/// Longer than a first start or an orderly stop may take. A process that holds the lock longer is stuck.
const WAIT_MAX: Duration = Duration::from_mins(3);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Waits until this process holds the lock exclusively. The lock is held until the file, and every copy of it that a
/// child process inherited, is closed.
///
/// It polls instead of blocking, because a thread that blocks in a system call would keep the process from ending.
pub(super) async fn exclusive(path: &Path, account: &Account) -> Result<File, EmbeddedError> {
    let file = open(path, account)?;
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(POLL_EVERY).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(EmbeddedError::LockBusy { lock: path.to_owned(), waited_s: WAIT_MAX.as_secs() });
            }
            Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", path)(error)),
        }
    }
}

/// Takes the lock in shared mode. This never waits: a process tries to take this lock exclusively only while it holds
/// the lock for starting and stopping.
pub(super) fn shared(path: &Path, account: &Account) -> Result<File, EmbeddedError> {
    let file = open(path, account)?;
    file.try_lock_shared().map_err(|error| EmbeddedError::io("lock", path)(error.into()))?;
    Ok(file)
}

fn open(path: &Path, account: &Account) -> Result<File, EmbeddedError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(EmbeddedError::io("open", path))?;
    account.make_owner_of(path)?;
    Ok(file)
}
