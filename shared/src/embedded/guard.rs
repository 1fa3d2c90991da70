//! Cleans up after a process that ended without doing so.

use std::io::{PipeWriter, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::error::EmbeddedError;

/// Waits for the end of its input, then stops the server and removes the folder.
///
/// No process writes to the input. It ends when every process that has the other end open has ended. `$0` is the name
/// in the process list, `$1` the folder, and the other arguments are the command that stops the server. A server that
/// is still starting may write into the folder while it is removed; so the removal is repeated.
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

/// A shell process that outlives this process, however that ends (even by `kill -9`). It then stops the server and
/// removes its folder.
#[derive(Debug)]
pub(super) struct Guard {
    /// The operating system closes it when the process ends.
    pipe: PipeWriter,
    shell: Child,
}

impl Guard {
    /// Starts a guard for a folder and for the server that `stop_server` stops.
    pub(super) fn set(folder: &Path, stop_server: &Command) -> Result<Self, EmbeddedError> {
        let failed = |source| EmbeddedError::io("start a guard for", folder)(source);
        let (listening, pipe) = pipe().map_err(failed)?;
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "teppan-postgres-guard"])
            .arg(folder)
            .arg(stop_server.as_std().get_program())
            .args(stop_server.as_std().get_args())
            .current_dir("/")
            // Ctrl-C in the terminal must end the guarded process, not the guard.
            .process_group(0)
            .stdin(Stdio::from(listening))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        Ok(Self { pipe, shell })
    }

    /// The pipe that a program must keep open while the guard has to wait for it.
    pub(super) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Lets the guard clean up now, and waits until it is done.
    pub(super) async fn release(mut self) {
        drop(self.pipe);
        // A failure of the shell cannot be handled any more.
        let _ = self.shell.wait().await;
    }
}
