//! The clients of a run. Each retries a call until it is answered, as a good client does, and records it.

pub mod guest;
pub mod orchestrator;
pub mod stripe;
pub mod talker;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::Rng as _;
use teppan_shared::contract::conversation::v1::{
    conversation_service_client::ConversationServiceClient, follow_up_service_client::FollowUpServiceClient,
};
use teppan_tests::{
    clients::{self, BookingClients},
    launch::Which,
    tool::describe_status,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::ledger::{Answer, Entry, Ledger, Outcome};

/// The deadline of an attempt.
const DEADLINE: Duration = Duration::from_secs(4);
/// The deadline of a client that gives up after its first attempt. Most are answered in time, some are not.
const IMPATIENT_MS: std::ops::Range<u64> = 1..60;
const RETRY_MS: std::ops::Range<u64> = 20..200;

/// The addresses of two replicas of a service.
pub type Pair = [SocketAddr; 2];

/// A client of both services, which calls another replica after each failure.
pub struct Caller {
    pub ledger: Arc<Ledger>,
    pub bookings: [BookingClients; 2],
    pub conversations: [ConversationServiceClient<Channel>; 2],
    pub follow_ups: [FollowUpServiceClient<Channel>; 2],
    /// No new calls begin.
    pub stop: CancellationToken,
    /// All faults ended long ago: a call that is not answered now never is.
    pub give_up: CancellationToken,
    /// The replica of the next call.
    replica: AtomicUsize,
}

/// Whether a client repeats an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    UntilAnswered,
    /// The client gives up soon, and never learns what became of its call.
    OneAttempt,
}

/// How a call ended.
pub enum End<T> {
    Answered(T),
    Refused(Status),
    Unknown,
}

/// When a call ran.
#[derive(Clone, Copy)]
pub struct Span {
    pub began: Duration,
    pub ended: Duration,
    pub attempts: u16,
}

impl Caller {
    pub fn new(
        ledger: Arc<Ledger>,
        booking: Pair,
        conversation: Pair,
        index: usize,
        [stop, give_up]: [CancellationToken; 2],
    ) -> Self {
        Self {
            ledger,
            bookings: booking.map(BookingClients::new),
            conversations: conversation.map(clients::conversations),
            follow_ups: conversation.map(clients::follow_ups),
            stop,
            give_up,
            replica: AtomicUsize::new(index),
        }
    }

    /// Makes a call until it is answered or refused. `attempt` gets the replica to call and a deadline.
    pub async fn call<T>(
        &self,
        call: &'static str,
        patience: Patience,
        attempt: impl AsyncFn(usize, Duration) -> Result<Response<T>, Status>,
    ) -> (Span, End<T>) {
        let mut span = Span { began: self.ledger.now(), ended: Duration::ZERO, attempts: 0 };
        let end = loop {
            span.attempts = span.attempts.saturating_add(1);
            let deadline = match patience {
                Patience::UntilAnswered => DEADLINE,
                Patience::OneAttempt => Duration::from_millis(rand::rng().random_range(IMPATIENT_MS)),
            };
            match attempt(self.replica.load(Relaxed) % 2, deadline).await {
                Ok(answer) => break End::Answered(answer.into_inner()),
                Err(status) => {
                    if is_internal(&status) {
                        let promise = "no call is answered INTERNAL";
                        self.ledger.violation(promise, "", format!("{call}: {}", describe_status(&status)));
                        break End::Unknown;
                    }
                    if !may_be_repeated(&status) {
                        break End::Refused(status);
                    }
                    if patience == Patience::OneAttempt {
                        break End::Unknown;
                    }
                    if self.give_up.is_cancelled() {
                        let promise = "every call is answered when the faults are over";
                        self.ledger.violation(promise, "", format!("{call}: {}", describe_status(&status)));
                        break End::Unknown;
                    }
                    self.replica.fetch_add(1, Relaxed);
                    let pause = Duration::from_millis(rand::rng().random_range(RETRY_MS));
                    tokio::time::sleep(pause).await;
                }
            }
        };
        span.ended = self.ledger.now();
        (span, end)
    }

    /// Records how a call ended. `seen` reads the subject and the checked part of an answer.
    pub fn record<T>(
        &self,
        (which, call): (Which, &'static str),
        (key, subject): (&str, &str),
        (span, end): (Span, End<T>),
        seen: impl FnOnce(&T) -> (String, Answer),
    ) -> Option<T> {
        let Span { began, ended, attempts } = span;
        let (subject, outcome, answer) = match end {
            End::Answered(answer) => {
                let (subject, seen) = seen(&answer);
                (subject, Outcome::Acknowledged(seen), Some(answer))
            }
            End::Refused(status) => (subject.to_owned(), Outcome::Refused(reason(&status).into()), None),
            End::Unknown => (subject.to_owned(), Outcome::Unknown, None),
        };
        let subject = subject.into();
        self.ledger.record(which, Entry { call, key: key.into(), subject, began, ended, attempts, outcome });
        answer
    }
}

/// A request with a deadline.
pub fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// The reason of a refusal, or its code when it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason)
}

/// Whether docs/clients.md tells clients to send the same call again.
fn may_be_repeated(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_none_or(|info| info.reason == "DEADLINE_EXCEEDED") || status.get_details_retry_info().is_some()
}

/// Whether the service admits a fault of its own. A broken connection has such a code too, without an `ErrorInfo`.
fn is_internal(status: &Status) -> bool {
    matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss)
        && status.get_details_error_info().is_some()
}
