//! Runs one of PostgreSQL's programs to its end.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::error::EmbeddedError;

/// Runs a program to its end. If it fails, the error contains its output.
///
/// The program gets a copy of `inherited` (a lock, or the pipe of a guard) as its standard input, and keeps it open
/// until it ends. If this process is killed while `initdb` runs, the next owner of the lock, or the guard, waits for
/// `initdb` to end. A server does not get the copy, because it would keep it open as long as it runs.
pub(super) async fn run(mut command: Command, name: &str, inherited: BorrowedFd<'_>) -> Result<(), EmbeddedError> {
    let failed = |source| EmbeddedError::io("run", Path::new(name))(source);
    let inherited = inherited.try_clone_to_owned().map_err(failed)?;
    let output = command.stdin(Stdio::from(inherited)).output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stderr, output.stdout].concat();
    Err(EmbeddedError::Program {
        program: name.to_owned(),
        output: last_lines(&String::from_utf8_lossy(&printed)).to_owned(),
    })
}

/// The last lines of a program's output or log, for an error message.
pub(super) fn last_lines(text: &str) -> &str {
    const LINES: usize = 8;
    let text = text.trim_end();
    let start = text.rmatch_indices('\n').nth(LINES - 1);
    &text[start.map_or(0, |(at, _)| at + 1)..]
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn a_long_output_is_shortened_to_its_last_lines() {
        assert_eq!(last_lines("one\ntwo\n"), "one\ntwo");
        assert_eq!(last_lines("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"), "2\n3\n4\n5\n6\n7\n8\n9");
    }
}
