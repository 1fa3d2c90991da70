//! Running one of PostgreSQL's programs to its end.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::error::EmbeddedError;

/// Runs a program to its end; what it printed is in the error when it fails.
///
/// The program gets a copy of `hold` (a lock, or the pipe a guard listens to) as its standard
/// input, and so keeps it open until it is done. If this process is killed while `initdb` runs,
/// whoever waits for the hold waits for `initdb` too, and never meets it halfway. A server does
/// not get it: it would keep it for as long as it runs.
pub(super) async fn run(mut command: Command, name: &str, hold: BorrowedFd<'_>) -> Result<(), EmbeddedError> {
    let failed = |source| EmbeddedError::io("run", Path::new(name))(source);
    let hold = hold.try_clone_to_owned().map_err(failed)?;
    let output = command.stdin(Stdio::from(hold)).output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stderr, output.stdout].concat();
    Err(EmbeddedError::Program {
        program: name.to_owned(),
        output: last_lines(&String::from_utf8_lossy(&printed)).to_owned(),
    })
}

/// As much of a program's output or log as a message can bear.
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
    fn only_the_last_lines_of_a_long_output_are_quoted() {
        assert_eq!(last_lines("one\ntwo\n"), "one\ntwo");
        assert_eq!(last_lines("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"), "2\n3\n4\n5\n6\n7\n8\n9");
    }
}
