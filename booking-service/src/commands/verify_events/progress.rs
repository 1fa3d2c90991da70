//! How far the work is, where somebody watches.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal; elsewhere nothing.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    /// How many there are is not counted beforehand: that would take as long as reading them.
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

    /// Writes a line to stdout without tearing the bar.
    pub fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// Leaves the screen to what follows, and tells how long it took.
    pub fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}
