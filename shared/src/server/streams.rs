//! The HTTP/2 streams of a server. Each has a task, which is ended when its client reads nothing of the answer for too
//! long.

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
    /// The progress of the answer that the current task sends.
    static PROGRESS: Arc<Progress>;
}

/// Runs the streams of all connections of a server.
#[derive(Clone)]
pub struct Streams {
    pub tasks: TaskTracker,
    /// How long a client may take to read the next part of an answer.
    pub write_timeout: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    /// Runs a stream to its end. If its client reads no part of the answer for too long, the stream is dropped, which
    /// resets it.
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

/// Counts the parts of an answer that were passed to the transport, and those that it has written or discarded.
#[derive(Debug, Default)]
pub struct Progress {
    handed_over: AtomicU32,
    written: AtomicU32,
}

impl Progress {
    /// The progress of the current stream; outside of a stream, a new, unobserved one.
    pub fn current() -> Arc<Self> {
        PROGRESS.try_with(Arc::clone).unwrap_or_default()
    }

    pub fn hand_over(&self) {
        self.handed_over.fetch_add(1, Relaxed);
    }

    pub fn written(&self) {
        self.written.fetch_add(1, Relaxed);
    }
}

/// Ready when parts of the answer wait and none was written for a whole `write_timeout`.
struct Stalled {
    progress: Arc<Progress>,
    write_timeout: Duration,
    /// The number of parts written when the timer was started, and the timer. It is `None` while no part waits.
    watched: Option<(u32, Pin<Box<Sleep>>)>,
}

impl Stalled {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let written = self.progress.written.load(Relaxed);
        if written == self.progress.handed_over.load(Relaxed) {
            self.watched = None;
            return Poll::Pending;
        }
        let deadline = || Instant::now() + self.write_timeout;
        match &mut self.watched {
            Some((since, timer)) if *since == written => return timer.as_mut().poll(context),
            Some((since, timer)) => {
                *since = written;
                timer.as_mut().reset(deadline());
            }
            None => self.watched = Some((written, Box::pin(sleep_until(deadline())))),
        }
        // Only a polled timer wakes its task.
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
    async fn a_stream_is_stalled_when_its_client_reads_nothing_for_the_timeout() {
        let progress = Arc::new(Progress::default());
        progress.hand_over();
        assert!(within(&progress, TIMEOUT * 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_not_stalled_while_its_client_reads_slowly() {
        let progress = Arc::new(Progress::default());
        for _ in 0..100 {
            progress.hand_over();
        }
        let slow = async {
            for _ in 0..100 {
                tokio::time::sleep(TIMEOUT / 2).await;
                progress.written();
            }
        };
        tokio::select! {
            () = slow => {}
            _ = within(&progress, TIMEOUT * 100) => panic!("the stream counts as stalled"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_unwritten_parts_is_not_stalled() {
        let progress = Arc::new(Progress::default());
        progress.hand_over();
        progress.written();
        assert!(!within(&progress, TIMEOUT * 10).await);
    }
}
