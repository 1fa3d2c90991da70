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
use crate::{rarely::Rarely, tasks::Tasks};

/// Bytes of lines that wait to be written.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// How long a call waits for its line to be written. After that it is answered all the same: a full disk or a reader
/// that hangs must not stop the service, but it raises the metric. On stderr that is not all: the log goes there too,
/// and waits for the same reader.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);
/// Lines that are written together.
const TOGETHER: usize = 512;

/// Takes the lines. When the last one is dropped, the task ends.
pub struct Writer {
    lines: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    /// The writer did not write in time. Nobody waits for it until it has written again.
    is_stuck: Arc<AtomicBool>,
    outcomes: Outcomes,
    late: Mutex<Rarely>,
    losing: Mutex<Rarely>,
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
        // A counter that is first seen at 1 has no increase.
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
    /// `None` when nothing is to be written.
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

    /// Returns when the line is written, or cannot be written in time.
    pub async fn write(&self, line: Vec<u8>) {
        let (written, done) = oneshot::channel();
        if !self.hand_over(line, Some(written)) || self.is_stuck.load(Relaxed) {
            return;
        }
        if timeout(WRITTEN_WITHIN, done).await.is_err() {
            self.is_stuck.store(true, Relaxed);
            self.outcomes.count(1, "late");
            if let Some(times) = now(&self.late) {
                tracing::error!(
                    times,
                    "the audit log is not written in time: calls are answered before their lines are"
                );
            }
        }
    }

    /// Hands the line over, and waits for nothing.
    pub fn write_later(&self, line: Vec<u8>) {
        self.hand_over(line, None);
    }

    /// `false` when there is no room for it.
    fn hand_over(&self, line: Vec<u8>, written: Option<oneshot::Sender<()>>) -> bool {
        let room = u32::try_from(line.len()).ok();
        let room = room.and_then(|bytes| Arc::clone(&self.room).try_acquire_many_owned(bytes).ok());
        let taken = room.is_some_and(|room| self.lines.send(Waiting { line, _room: room, written }).is_ok());
        if !taken {
            self.outcomes.count(1, "lost");
            if let Some(times) = now(&self.losing) {
                tracing::error!(times, "too many lines of the audit log wait to be written: new ones are lost");
            }
        }
        taken
    }
}

fn now(rarely: &Mutex<Rarely>) -> Option<u64> {
    rarely.lock().unwrap_or_else(PoisonError::into_inner).now()
}

async fn write_all(
    mut sink: Sink,
    mut waiting: mpsc::UnboundedReceiver<Waiting>,
    outcomes: Outcomes,
    is_stuck: Arc<AtomicBool>,
) {
    let mut failing = Rarely::default();
    let mut lines = Vec::new();
    while waiting.recv_many(&mut lines, TOGETHER).await > 0 {
        let text: Vec<u8> = lines.iter().flat_map(|waiting| &waiting.line).copied().collect();
        match sink.write(text).await {
            Ok(()) => outcomes.count(lines.len(), "written"),
            Err(error) => {
                outcomes.count(lines.len(), "lost");
                if let Some(times) = failing.now() {
                    tracing::error!(%error, times, "lines of the audit log cannot be written and are lost");
                }
            }
        }
        is_stuck.store(false, Relaxed);
        for written in lines.drain(..).filter_map(|waiting| waiting.written) {
            // The call may have been given up.
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

/// Writes on a thread of its own, because a reader that is slow blocks. The library locks the stream meanwhile, so that
/// lines of the log do not get between.
async fn write_whole(write: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "it is awaited here")]
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// A file that others may move away, to begin a new one: then it is opened anew.
struct AuditFile {
    path: PathBuf,
    file: File,
    /// The last write may have ended within a line.
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
        // Half a line of the write before must not spoil the first line of this one.
        if std::mem::replace(&mut self.is_torn, true) {
            self.file.write_all(b"\n").await?;
        }
        self.file.write_all(text).await?;
        self.file.flush().await?;
        self.is_torn = false;
        Ok(())
    }

    /// Whether the path still leads to the open file.
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
    async fn a_line_is_in_the_file_when_its_call_goes_on_also_after_the_file_was_moved_away() {
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
    async fn a_full_disk_loses_lines_and_holds_nobody_up() {
        let tasks = Tasks::default();
        let writer = Writer::start(&AuditTarget::File("/dev/full".into()), &tasks).await.expect("opened").expect("on");
        let since = Instant::now();
        for _ in 0..100 {
            writer.write(b"line\n".to_vec()).await;
        }
        assert!(since.elapsed() < WRITTEN_WITHIN * 50, "each call goes on as soon as its line is lost");
        assert_eq!(writer.room.available_permits(), WAITING_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_hangs_holds_one_call_up_and_the_others_not() {
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
