//! One run of a relay: its claimed messages, and whether it claims more.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::read_error::ReadError;

/// After this time a run claims no more messages. It ends, so that the metrics count it.
const RUN_MAX: Duration = Duration::from_mins(1);

/// Why a run ends early.
pub(super) enum Ended {
    /// The destination accepts no messages, for this reason.
    Unavailable(String),
    /// The outbox cannot be read.
    Unread(ReadError),
}

/// Shared by the deliveries and the claims of a run, which are concurrent.
pub(super) struct Run {
    /// The time limit of one delivery.
    pub timeout: Duration,
    /// Whether a reply to a caller waits for this run.
    pub is_inline: bool,
    ends_at: Instant,
    ended: OnceLock<Ended>,
    /// Claimed messages whose delivery has not ended.
    left: AtomicUsize,
    more: AtomicBool,
    nothing_left: Notify,
}

impl Run {
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            is_inline: false,
            ends_at: Instant::now() + RUN_MAX,
            ended: OnceLock::new(),
            left: AtomicUsize::new(0),
            more: AtomicBool::new(true),
            nothing_left: Notify::new(),
        }
    }

    /// A run over messages that are already claimed, while a reply to a caller waits for it.
    pub fn inline(timeout: Duration, claimed: usize) -> Self {
        let run = Self { is_inline: true, ..Self::new(timeout) };
        run.claimed(claimed, false);
        run
    }

    pub fn claimed(&self, messages: usize, more: bool) {
        self.left.fetch_add(messages, Ordering::SeqCst);
        self.more.store(more, Ordering::SeqCst);
    }

    pub fn concluded(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.nothing_left.notify_one();
        }
    }

    /// Later reasons are ignored.
    pub fn end(&self, why: Ended) {
        let _ = self.ended.set(why);
    }

    pub fn ended(&self) -> Option<&Ended> {
        self.ended.get()
    }

    pub fn into_ended(self) -> Option<Ended> {
        self.ended.into_inner()
    }

    /// Whether the run claims nothing more.
    pub fn is_over(&self) -> bool {
        let is_done = self.is_idle() && !self.may_find_more();
        is_done || self.ended().is_some() || Instant::now() >= self.ends_at
    }

    /// Whether no delivery is running.
    pub fn is_idle(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// Returns when the last delivery has ended.
    pub async fn idle(&self) {
        self.nothing_left.notified().await;
    }

    /// Whether another claim may find something.
    pub fn may_find_more(&self) -> bool {
        self.more.load(Ordering::SeqCst)
    }

    pub fn expect_more(&self) {
        self.more.store(true, Ordering::SeqCst);
    }
}
