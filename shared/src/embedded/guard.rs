//! Cleaning up after a process that can no longer do it itself.

use std::io::{PipeWriter, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::error::EmbeddedError;

/// Waits for the end of its input, then stops the server and removes the folder.
///
/// Nothing is ever written to that input: it ends when every process that has its other end open
/// is gone. `$0` is a name for the list of processes; the rest of the arguments is the command
/// that stops the server. A server that was only just starting may write into the folder while it
/// is removed, and notices a little later.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
folder=$1
shift
read -r _
for _ in 1 2 3 4 5; do
    "$@" </dev/null
    rm -rf -- "$folder" && break
    sleep 1
done
"#;

/// A small shell that outlives this process, however it ends, `kill -9` included, and then stops
/// the server and removes its folder.
#[derive(Debug)]
pub(super) struct Guard {
    /// The system closes it with the process.
    pipe: PipeWriter,
    shell: Child,
}

impl Guard {
    /// Sets a guard on a folder and on the server that `stop_server` stops.
    pub(super) fn set(folder: &Path, stop_server: &Command) -> Result<Self, EmbeddedError> {
        let failed = |source| EmbeddedError::io("set a guard on", folder)(source);
        let (listening, pipe) = pipe().map_err(failed)?;
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "teppan-postgres-guard"])
            .arg(folder)
            .arg(stop_server.as_std().get_program())
            .args(stop_server.as_std().get_args())
            .current_dir("/")
            // Ctrl-C in the terminal ends the process that is guarded, not the guard.
            .process_group(0)
            .stdin(Stdio::from(listening))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        Ok(Self { pipe, shell })
    }

    /// What a program must keep open for the guard to wait for it.
    pub(super) fn hold(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Lets the guard do its work now, and waits until it has.
    pub(super) async fn release(mut self) {
        drop(self.pipe);
        // Whatever its end was, there is nothing left to do about it.
        let _ = self.shell.wait().await;
    }
}
