//! The HTTP/2 streams of a server: a task for each, ended when its client takes nothing for too long.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

tokio::task_local! {
    /// How far the answer is that the running task sends.
    static PROGRESS: Arc<Progress>;
}

/// Runs the streams of all connections of a server.
#[derive(Clone)]
pub struct Streams {
    pub tasks: TaskTracker,
    /// How long a client may take for the next part of an answer.
    pub write_timeout: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    /// Runs a stream to its end. Where its client takes nothing of what it was handed for too long, the stream is
    /// dropped, which resets it.
    fn execute(&self, stream: F) {
        let write_timeout = self.write_timeout;
        self.tasks.spawn(async move {
            let progress = Arc::new(Progress::default());
            let mut stalled = Stalled { progress: Arc::clone(&progress), write_timeout, watched: None };
            let mut stream = pin!(stream);
            poll_fn(|context| {
                let polled = PROGRESS.sync_scope(Arc::clone(&progress), || stream.as_mut().poll(context));
                if polled.is_ready() { polled } else { stalled.poll(context) }
            })
            .await;
        });
    }
}

/// How many parts of an answer were handed over, and how many of them the client took.
#[derive(Debug, Default)]
pub struct Progress {
    handed_over: AtomicU32,
    taken: AtomicU32,
}

impl Progress {
    /// That of the running stream; outside of one, of nobody's.
    pub fn current() -> Arc<Self> {
        PROGRESS.try_with(Arc::clone).unwrap_or_default()
    }

    pub fn hand_over(&self) {
        self.handed_over.fetch_add(1, Relaxed);
    }

    pub fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }
}

/// Ready when the client has taken nothing of what waits for it in a whole `write_timeout`.
struct Stalled {
    progress: Arc<Progress>,
    write_timeout: Duration,
    /// How much was taken when the time began to run. Of an answer that leaves at once no time is taken.
    watched: Option<(u32, Pin<Box<Sleep>>)>,
}

impl Stalled {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let taken = self.progress.taken.load(Relaxed);
        if taken == self.progress.handed_over.load(Relaxed) {
            self.watched = None;
            return Poll::Pending;
        }
        let deadline = || Instant::now() + self.write_timeout;
        match &mut self.watched {
            Some((since, timer)) if *since == taken => return timer.as_mut().poll(context),
            Some((since, timer)) => {
                *since = taken;
                timer.as_mut().reset(deadline());
            }
            None => self.watched = Some((taken, Box::pin(sleep_until(deadline())))),
        }
        // A timer wakes only those who polled it.
        self.watched.as_mut().map_or(Poll::Pending, |(_, timer)| timer.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    async fn within(progress: &Arc<Progress>, time: Duration) -> bool {
        let mut stalled = Stalled { progress: Arc::clone(progress), write_timeout: TIMEOUT, watched: None };
        let since = Instant::now();
        tokio::time::timeout(time, poll_fn(|context| stalled.poll(context))).await.is_ok() && since.elapsed() >= TIMEOUT
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_after_the_timeout() {
        let progress = Arc::new(Progress::default());
        progress.hand_over();
        assert!(within(&progress, TIMEOUT * 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_something_now_and_then_is_not_given_up() {
        let progress = Arc::new(Progress::default());
        for _ in 0..100 {
            progress.hand_over();
        }
        let slow = async {
            for _ in 0..100 {
                tokio::time::sleep(TIMEOUT / 2).await;
                progress.taken();
            }
        };
        tokio::select! {
            () = slow => {}
            _ = within(&progress, TIMEOUT * 100) => panic!("it was given up"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_taken_everything_may_wait() {
        let progress = Arc::new(Progress::default());
        progress.hand_over();
        progress.taken();
        assert!(!within(&progress, TIMEOUT * 10).await);
    }
}
