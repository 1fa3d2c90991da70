//! Writes the lines of the audit log, in a task of its own.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, global, metrics::Counter};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt as _,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::AuditTarget;
use crate::{log_limiter::LogLimiter, tasks::Tasks};

/// The most bytes of lines that wait to be written.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long a call waits until its line is written. After that the call is answered anyway, and a metric counts it: a
/// full disk or a slow reader must not stop the service. If the target is stderr, a slow reader also blocks the log.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);
/// The most lines that are written together.
const TOGETHER: usize = 512;

/// Sends lines to the writing task. The task ends when this is dropped.
pub struct Writer {
    lines: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    /// Set when a line was not written in time. Calls do not wait until a line was written again.
    is_stuck: Arc<AtomicBool>,
    outcomes: Outcomes,
    late: Mutex<LogLimiter>,
    losing: Mutex<LogLimiter>,
}

struct Waiting {
    line: Vec<u8>,
    _room: OwnedSemaphorePermit,
    written: Option<oneshot::Sender<()>>,
}

#[derive(Clone)]
struct Outcomes(Counter<u64>);

impl Outcomes {
    fn new() -> Self {
        let meter = global::meter("teppan");
        let description = "Lines of the audit log: written, late (the call was answered before), or lost.";
        let outcomes = Self(meter.u64_counter("teppan.audit.lines").with_description(description).build());
        // Prometheus sees no increase in a counter that first appears with the value 1.
        for outcome in ["written", "late", "lost"] {
            outcomes.count(0, outcome);
        }
        outcomes
    }

    fn count(&self, lines: usize, outcome: &'static str) {
        self.0.add(lines as u64, &[KeyValue::new("outcome", outcome)]);
    }
}

impl Writer {
    /// `None` when the audit log is off.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn start(target: &AuditTarget, background: &Tasks) -> io::Result<Option<Self>> {
        let sink = match target {
            AuditTarget::Off => return Ok(None),
            AuditTarget::Stderr => Sink::Stderr,
            AuditTarget::Stdout => Sink::Stdout,
            AuditTarget::File(path) => Sink::File(AuditFile::open(path).await.map_err(|error| {
                let message = format!("{}, which is AUDIT_LOG, cannot be opened: {error}", path.display());
                io::Error::new(error.kind(), message)
            })?),
        };
        let (lines, waiting) = mpsc::unbounded_channel();
        let (outcomes, is_stuck) = (Outcomes::new(), Arc::new(AtomicBool::new(false)));
        background.spawn("audit log", write_all(sink, waiting, outcomes.clone(), Arc::clone(&is_stuck)));
        Ok(Some(Self::new(lines, WAITING_BYTES, is_stuck, outcomes)))
    }

    fn new(lines: mpsc::UnboundedSender<Waiting>, room: usize, is_stuck: Arc<AtomicBool>, outcomes: Outcomes) -> Self {
        let (late, losing) = (Mutex::default(), Mutex::default());
        Self { lines, room: Arc::new(Semaphore::new(room)), is_stuck, outcomes, late, losing }
    }

    /// Writes a line. Returns when it was written, or when that takes too long.
    pub async fn write(&self, line: Vec<u8>) {
        let (written, done) = oneshot::channel();
        if !self.hand_over(line, Some(written)) || self.is_stuck.load(Relaxed) {
            return;
        }
        if timeout(WRITTEN_WITHIN, done).await.is_err() {
            self.is_stuck.store(true, Relaxed);
            self.outcomes.count(1, "late");
            if let Some(times) = record(&self.late) {
                tracing::error!(
                    times,
                    "the audit log is not written in time; calls are answered before their lines are written"
                );
            }
        }
    }

    /// Queues a line without waiting.
    pub fn write_later(&self, line: Vec<u8>) {
        self.hand_over(line, None);
    }

    /// Queues a line; `false` when there is no room for it.
    fn hand_over(&self, line: Vec<u8>, written: Option<oneshot::Sender<()>>) -> bool {
        let room = u32::try_from(line.len()).ok();
        let room = room.and_then(|bytes| Arc::clone(&self.room).try_acquire_many_owned(bytes).ok());
        let taken = room.is_some_and(|room| self.lines.send(Waiting { line, _room: room, written }).is_ok());
        if !taken {
            self.outcomes.count(1, "lost");
            if let Some(times) = record(&self.losing) {
                tracing::error!(times, "too many lines of the audit log wait to be written; new lines are lost");
            }
        }
        taken
    }
}

fn record(log_limiter: &Mutex<LogLimiter>) -> Option<u64> {
    log_limiter.lock().unwrap_or_else(PoisonError::into_inner).record()
}

async fn write_all(
    mut sink: Sink,
    mut waiting: mpsc::UnboundedReceiver<Waiting>,
    outcomes: Outcomes,
    is_stuck: Arc<AtomicBool>,
) {
    let mut failing = LogLimiter::default();
    let mut lines = Vec::new();
    while waiting.recv_many(&mut lines, TOGETHER).await > 0 {
        let text: Vec<u8> = lines.iter().flat_map(|waiting| &waiting.line).copied().collect();
        match sink.write(text).await {
            Ok(()) => outcomes.count(lines.len(), "written"),
            Err(error) => {
                outcomes.count(lines.len(), "lost");
                if let Some(times) = failing.record() {
                    tracing::error!(%error, times, "lines of the audit log cannot be written and are lost");
                }
            }
        }
        is_stuck.store(false, Relaxed);
        for written in lines.drain(..).filter_map(|waiting| waiting.written) {
            // The call may not be waiting any more.
            let _ = written.send(());
        }
    }
}

enum Sink {
    Stderr,
    Stdout,
    File(AuditFile),
}

impl Sink {
    async fn write(&mut self, text: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Stderr => write_whole(move || io::stderr().write_all(&text)).await,
            Self::Stdout => write_whole(move || io::stdout().lock().write_all(&text)).await,
            Self::File(file) => file.write(&text).await,
        }
    }
}

/// Writes on a separate thread, because a slow reader blocks. The library locks the stream, so that lines of the log
/// cannot appear in between.
async fn write_whole(write: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "it is awaited here")]
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A file that is opened again after an operator has moved it.
struct AuditFile {
    path: PathBuf,
    file: File,
    /// Whether the last write may have ended within a line.
    is_torn: bool,
}

impl AuditFile {
    async fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).await?;
        Ok(Self { path: path.to_owned(), file, is_torn: false })
    }

    async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if !self.is_current().await {
            *self = Self::open(&self.path).await?;
        }
        // An incomplete line of the last write must not be joined with the first line of this one.
        if std::mem::replace(&mut self.is_torn, true) {
            self.file.write_all(b"\n").await?;
        }
        self.file.write_all(text).await?;
        self.file.flush().await?;
        self.is_torn = false;
        Ok(())
    }

    /// Whether the path still refers to the open file.
    async fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;

        let (Ok(at_path), Ok(open)) = (fs::metadata(&self.path).await, self.file.metadata().await) else {
            return false;
        };
        (at_path.dev(), at_path.ino()) == (open.dev(), open.ino())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_line_is_in_the_file_before_its_call_continues_even_after_the_file_was_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let tasks = Tasks::default();
        let writer = Writer::start(&AuditTarget::File(path.clone()), &tasks).await.expect("opened").expect("on");
        writer.write(b"one\n".to_vec()).await;
        assert_eq!(std::fs::read(&path).expect("read"), b"one\n");
        std::fs::rename(&path, &moved).expect("moved");
        writer.write(b"two\n".to_vec()).await;
        assert_eq!(std::fs::read(&path).expect("read"), b"two\n");
        assert_eq!(std::fs::read(&moved).expect("read"), b"one\n");
        drop(writer);
        tasks.stop(Duration::from_mins(1), &CancellationToken::new()).await;
    }

    #[tokio::test]
    async fn with_a_full_disk_lines_are_lost_but_calls_do_not_wait() {
        let tasks = Tasks::default();
        let writer = Writer::start(&AuditTarget::File("/dev/full".into()), &tasks).await.expect("opened").expect("on");
        let since = Instant::now();
        for _ in 0..100 {
            writer.write(b"line\n".to_vec()).await;
        }
        assert!(since.elapsed() < WRITTEN_WITHIN * 50, "each call continues as soon as its line is lost");
        assert_eq!(writer.room.available_permits(), WAITING_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_sink_delays_only_one_call() {
        let (lines, _never_read) = mpsc::unbounded_channel();
        let writer = Writer::new(lines, 100, Arc::default(), Outcomes::new());
        let since = tokio::time::Instant::now();
        for _ in 0..100 {
            writer.write(b"line\n".to_vec()).await;
        }
        assert_eq!(since.elapsed(), WRITTEN_WITHIN);
        assert_eq!(writer.room.available_permits(), 0, "further lines are lost");
    }
}
