//! Progress: a bar on a terminal, a line for every tenth elsewhere.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};

/// The progress of some work. Cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    what: &'static str,
    total: u64,
    done: AtomicU64,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// The progress of this many pieces of work.
    pub fn start(what: &'static str, total: usize) -> Self {
        let total = total.try_into().unwrap_or(u64::MAX);
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:<24} {wide_bar} {pos}/{len}  {eta} left");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self(Arc::new(Inner { what, total, done: AtomicU64::new(0), started: Instant::now(), bar }))
    }

    /// Counts more pieces as done.
    pub fn advance(&self, pieces: usize) {
        let Inner { what, total, done, started, bar } = &*self.0;
        let pieces: u64 = pieces.try_into().unwrap_or(u64::MAX);
        if let Some(bar) = bar {
            bar.inc(pieces);
            return;
        }
        let before = done.fetch_add(pieces, Ordering::Relaxed);
        let tenths = |done: u64| done * 10 / (*total).max(1);
        if tenths(before + pieces) > tenths(before) {
            eprintln!("{what}: {} of {total} after {:.1} s", before + pieces, started.elapsed().as_secs_f64());
        }
    }

    /// Removes the bar, so that other output can follow.
    pub fn finish(&self) {
        if let Some(bar) = &self.0.bar {
            bar.finish();
        }
    }
}
