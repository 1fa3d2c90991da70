//! The progress of the verification, shown on a terminal.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// A progress line on stderr if that is a terminal; otherwise nothing.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    /// Shows no total: counting the rows would take as long as reading them.
    pub fn start(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg:<10} {human_pos} after {elapsed}, {per_sec}");
            let bar = ProgressBar::new_spinner().with_message(what);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar, started: Instant::now() }
    }

    pub fn advance(&self, pieces: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(pieces);
        }
    }

    /// Writes a line to stdout without breaking the progress line.
    pub fn print_line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Removes the progress line, and returns the elapsed time.
    pub fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}
