//! Everything that clients asked for, and what they were answered.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use teppan_tests::launch::Which;

/// The part of a run that is counted together.
pub const BUCKET: Duration = Duration::from_millis(100);

/// One call, with all of its attempts.
#[derive(Debug, Clone)]
pub struct Entry {
    pub call: &'static str,
    /// What makes a repetition the same call: an idempotency key or the id of a message.
    pub key: Box<str>,
    /// What the call changed: a booking, a conversation, an entry of the waitlist, a follow-up. Empty when that is
    /// not known, because the call would have created it.
    pub subject: Box<str>,
    /// Since the start of the run.
    pub began: Duration,
    pub ended: Duration,
    pub attempts: u16,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Acknowledged(Answer),
    /// The reason. The last attempt did nothing; an earlier one whose answer was lost may have, before another client
    /// changed the same thing.
    Refused(Box<str>),
    /// The client gave up: it may have been done or not.
    Unknown,
}

/// The part of an answer that is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A booking as it was after the call.
    Booking(Seen),
    /// The sequence of a message.
    Message(i64),
    /// The status of an entry of the waitlist, or of a follow-up.
    Status(Box<str>),
    /// A claim of a follow-up, or its end, under this token.
    Claim(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub version: i64,
    pub status: Box<str>,
    pub slot: Box<str>,
    pub party_size: i32,
    /// The call was recognised as a repetition.
    pub replayed: bool,
}

/// A promise that was broken.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    pub promise: &'static str,
    pub what: String,
    /// The subject whose history explains it; empty if there is none.
    pub subject: String,
}

#[derive(Default)]
struct Content {
    entries: Vec<Entry>,
    violations: Vec<Violation>,
    refusals: BTreeMap<String, u64>,
    /// Acknowledged calls of booking-service and of conversation-service, by [`BUCKET`].
    goodput: Vec<[u32; 2]>,
    retries: u64,
    unknown: u64,
}

pub struct Ledger {
    started: Instant,
    content: Mutex<Content>,
}

impl Ledger {
    pub fn start() -> Self {
        Self { started: Instant::now(), content: Mutex::default() }
    }

    /// The time since the start of the run.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn record(&self, which: Which, entry: Entry) {
        let mut content = self.lock();
        content.retries += u64::from(entry.attempts.saturating_sub(1));
        match &entry.outcome {
            Outcome::Acknowledged(_) => count(&mut content, which, entry.ended),
            Outcome::Refused(reason) => {
                *content.refusals.entry(format!("{} {reason}", entry.call)).or_default() += 1;
            }
            Outcome::Unknown => content.unknown += 1,
        }
        content.entries.push(entry);
    }

    pub fn violation(&self, promise: &'static str, subject: &str, what: impl Into<String>) {
        let violation = Violation { promise, what: what.into(), subject: subject.to_owned() };
        self.lock().violations.push(violation);
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.lock().refusals.clone()
    }

    /// All entries. Call it when the clients have ended.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    pub fn acknowledged(&self) -> u64 {
        self.lock().goodput.iter().flatten().map(|&count| u64::from(count)).sum()
    }

    /// The number of repeated attempts, and of calls whose outcome their client does not know.
    pub fn retries_and_unknown(&self) -> (u64, u64) {
        let content = self.lock();
        (content.retries, content.unknown)
    }

    /// Acknowledged calls of each service in this time.
    pub fn goodput(&self, from: Duration, to: Duration) -> [u64; 2] {
        let content = self.lock();
        let (first, end) = (bucket(from), bucket(to).min(content.goodput.len()));
        let within = content.goodput.get(first..end).unwrap_or_default();
        [0, 1].map(|which| within.iter().map(|counts| u64::from(counts[which])).sum())
    }

    /// The entries about a subject, in the order in which they began.
    pub fn history(&self, subject: &str) -> Vec<Entry> {
        let mut about: Vec<_> = self.lock().entries.iter().filter(|it| it.is_about(subject)).cloned().collect();
        about.sort_by_key(|entry| entry.began);
        about
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bucket(at: Duration) -> usize {
    usize::try_from(at.as_millis() / BUCKET.as_millis()).unwrap_or(usize::MAX)
}

fn count(content: &mut Content, which: Which, at: Duration) {
    let bucket = bucket(at);
    if content.goodput.len() <= bucket {
        content.goodput.resize(bucket + 1, [0; 2]);
    }
    content.goodput[bucket][usize::from(which == Which::Conversation)] += 1;
}

impl Entry {
    /// Whether the entry is about this booking, conversation, entry, follow-up, key, or slot.
    fn is_about(&self, subject: &str) -> bool {
        let of_the_slot =
            || matches!(&self.outcome, Outcome::Acknowledged(Answer::Booking(seen)) if &*seen.slot == subject);
        &*self.subject == subject || &*self.key == subject || of_the_slot()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (began, ended) = (self.began.as_secs_f64(), self.ended.as_secs_f64());
        write!(f, "{began:9.3} s to {ended:9.3} s  {} of {}", self.call, self.subject)?;
        if self.key != self.subject {
            write!(f, " with {}", self.key)?;
        }
        write!(f, ", {} attempts: ", self.attempts)?;
        match &self.outcome {
            Outcome::Acknowledged(answer) => write!(f, "{answer:?}"),
            Outcome::Refused(reason) => write!(f, "refused, {reason}"),
            Outcome::Unknown => write!(f, "unknown"),
        }
    }
}
