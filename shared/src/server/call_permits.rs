//! The permits of a call. The call returns them while it waits.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::pools::{Holders, Permit, Pools, Resource};
use crate::status::Failure;

/// The retry delay of a call that may not wait. It is long because each new call queries the database once.
const WAIT_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The limit of waiting calls is reached, in total or for this holder.
#[derive(Debug, thiserror::Error)]
#[error("the limit of waiting calls is reached")]
pub struct TooManyWaitingCalls;

impl TooManyWaitingCalls {
    pub fn to_failure(&self) -> Failure {
        Failure::overloaded().retry_after(WAIT_AGAIN_AFTER)
    }
}

/// The bounds of a call, in the extensions of its request: its deadline, its permits, and its caller.
#[derive(Clone)]
pub struct Bounds {
    pub(super) ends_at: tokio::time::Instant,
    pub(super) closing: CancellationToken,
    pub(super) permits: Arc<CallPermits>,
    pub(super) caller: Option<Arc<str>>,
}

impl Bounds {
    /// The bounds of a call that came through this server.
    ///
    /// # Errors
    /// INTERNAL for any other request.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Failure::internal().into())
    }

    /// When the server answers DEADLINE_EXCEEDED: at the client's deadline or at the service's limit, whichever is
    /// sooner.
    pub fn ends_at(&self) -> tokio::time::Instant {
        self.ends_at
    }

    /// The name of the caller's credential, as in the audit log. Empty if callers need no credentials.
    pub fn caller(&self) -> &str {
        self.caller.as_deref().unwrap_or_default()
    }

    /// Returns when the connection accepts no more calls. A waiting call must then stop waiting.
    pub async fn draining(&self) {
        self.closing.cancelled().await;
    }

    /// Waits for room for an answer of up to `bytes` and reserves it, for work that must not be done if its answer
    /// would be dropped. The call holds no bytes while it waits; its deadline ends the wait.
    pub async fn answer_room(&self, bytes: usize) {
        let permits = &*self.permits;
        loop {
            permits.pools.room(Resource::ReservedAnswerBytes, &permits.holders, bytes).await;
            if let Some(room) = permits.pools.take(Resource::ReservedAnswerBytes, &permits.holders, bytes) {
                permits.lock().answer_room = Some(room);
                return;
            }
        }
    }

    /// Begins the wait of a call and returns its permits. The call counts as work, and has room for an answer of up to
    /// `answer_bytes`, only between [`Wait::resume`] and [`Wait::pause`].
    ///
    /// # Errors
    /// [`TooManyWaitingCalls`].
    pub fn wait(&self, answer_bytes: usize) -> Result<Wait<'_>, TooManyWaitingCalls> {
        let permits = &*self.permits;
        let waiting = permits.pools.take(Resource::Waiting, &permits.holders, 1).ok_or(TooManyWaitingCalls)?;
        permits.put(None, None);
        Ok(Wait { permits, answer_bytes, _waiting: waiting })
    }
}

/// A waiting call. It holds a permit for waiting calls until it is dropped.
pub struct Wait<'a> {
    permits: &'a CallPermits,
    answer_bytes: usize,
    _waiting: Permit,
}

impl Wait<'_> {
    /// Returns when [`Wait::resume`] would succeed. Another call may take the permits first.
    pub async fn room(&self) {
        let CallPermits { pools, holders, .. } = self.permits;
        pools.room(Resource::Work, holders, 1).await;
        pools.room(Resource::ReservedAnswerBytes, holders, self.answer_bytes).await;
    }

    /// Takes the permits to work; `false` when the holder already has its share.
    pub fn resume(&self) -> bool {
        let CallPermits { pools, holders, .. } = self.permits;
        let work = pools.take(Resource::Work, holders, 1);
        let answer = work.as_ref().and_then(|_| pools.take(Resource::ReservedAnswerBytes, holders, self.answer_bytes));
        let has_both = answer.is_some();
        if has_both {
            self.permits.put(work, answer);
        }
        has_both
    }

    /// Returns the permits; the call waits again.
    pub fn pause(&self) {
        self.permits.put(None, None);
    }
}

/// The permits of a call.
pub struct CallPermits {
    pools: Arc<Pools>,
    holders: Holders,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// From the pool for its kind of calls.
    _call: Option<Permit>,
    /// The reserved room for its answer.
    answer_room: Option<Permit>,
}

impl CallPermits {
    pub fn new(pools: &Arc<Pools>, holders: &Holders, call: Permit) -> Self {
        let held = Held { _call: Some(call), answer_room: None };
        Self { pools: Arc::clone(pools), holders: holders.clone(), held: Mutex::new(held) }
    }

    /// The holders for which the call's permits count.
    pub fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Takes the reserved room for the answer.
    pub fn take_answer_room(&self) -> Option<Permit> {
        self.lock().answer_room.take()
    }

    fn put(&self, call: Option<Permit>, answer_room: Option<Permit>) {
        *self.lock() = Held { _call: call, answer_room };
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
