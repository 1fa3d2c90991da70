//! Ends a cluster, whose PostgreSQL servers would outlive this process.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Waits for the end of standard input, kills the processes whose ids are in files in the folder, and removes the
/// folder. A process is killed only if its command line names the folder.
const SCRIPT: &str = r#"
read -r _
for round in 1 2 3; do
    for file in "$0"/*.pid "$0"/*/postmaster.pid; do
        read -r pid <"$file" && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$0" && kill -KILL "$pid"
    done 2>/dev/null
    sleep 0.3
    rm -rf "$0" 2>/dev/null && exit
done
"#;

/// A process that ends the cluster when this is dropped, and when this process ends in any way.
pub struct Guard(Child);

impl Guard {
    pub fn set(folder: &Path) -> io::Result<Self> {
        let mut guard = Command::new("bash");
        guard.arg("-c").arg(SCRIPT).arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(guard.process_group(0).spawn()?))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
