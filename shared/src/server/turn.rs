//! The permits of a call, which the call gives back while it waits.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::pools::{Holders, Permit, Pools, Resource};
use crate::status::Failure;

/// The retry delay of a call that may not wait. Looking for what is due costs more than waiting for it.
const WAIT_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The limit of waiting calls is reached, in all or for this connection.
#[derive(Debug, thiserror::Error)]
#[error("the limit of waiting calls is reached")]
pub struct TooManyWait;

impl TooManyWait {
    pub fn to_failure(&self) -> Failure {
        Failure::overloaded().retry_after(WAIT_AGAIN_AFTER)
    }
}

/// The bounds of a call, in the extensions of its request: when it ends, and its permits, which it gives back while it
/// waits.
#[derive(Clone)]
pub struct Bounds {
    pub(super) ends_at: tokio::time::Instant,
    pub(super) closing: CancellationToken,
    pub(super) turn: Arc<Turn>,
}

impl Bounds {
    /// The bounds of a call that came through this server.
    ///
    /// # Errors
    /// INTERNAL for any other request.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Failure::internal().into())
    }

    /// When the server answers DEADLINE_EXCEEDED: at the client's deadline or the service's limit, if that is sooner.
    pub fn ends_at(&self) -> tokio::time::Instant {
        self.ends_at
    }

    /// Returns when the connection takes no new calls any more: a call that waits has to stop waiting.
    pub async fn draining(&self) {
        self.closing.cancelled().await;
    }

    /// Takes room for an answer of up to `bytes`, as soon as there is some: for work that must not be done when its
    /// answer has to be dropped. No bytes are held while this waits, which the deadline of the call ends.
    pub async fn answer_room(&self, bytes: usize) {
        let turn = &*self.turn;
        loop {
            turn.pools.room(Resource::ReservedAnswerBytes, &turn.holders, bytes).await;
            if let Some(room) = turn.pools.take(Resource::ReservedAnswerBytes, &turn.holders, bytes) {
                turn.lock().answer_room = Some(room);
                return;
            }
        }
    }

    /// The call begins to wait. It counts as work, and has room for an answer of up to `answer_bytes`, only between
    /// [`Wait::resume`] and [`Wait::pause`].
    ///
    /// # Errors
    /// [`TooManyWait`].
    pub fn wait(&self, answer_bytes: usize) -> Result<Wait<'_>, TooManyWait> {
        let turn = &*self.turn;
        let waiting = turn.pools.take(Resource::Waiting, &turn.holders, 1).ok_or(TooManyWait)?;
        turn.put(None, None);
        Ok(Wait { turn, answer_bytes, _waiting: waiting })
    }
}

/// A call that waits. It holds a permit of the waiting calls until this is dropped.
pub struct Wait<'a> {
    turn: &'a Turn,
    answer_bytes: usize,
    _waiting: Permit,
}

impl Wait<'_> {
    /// Returns when [`Wait::resume`] would succeed. Another call may be faster then.
    pub async fn room(&self) {
        let Turn { pools, holders, .. } = self.turn;
        pools.room(Resource::Work, holders, 1).await;
        pools.room(Resource::ReservedAnswerBytes, holders, self.answer_bytes).await;
    }

    /// Whether the call may work now. Its holder has no more than its share of calls that work, however many of its
    /// calls wait.
    pub fn resume(&self) -> bool {
        let Turn { pools, holders, .. } = self.turn;
        let work = pools.take(Resource::Work, holders, 1);
        let answer = work.as_ref().and_then(|_| pools.take(Resource::ReservedAnswerBytes, holders, self.answer_bytes));
        let has_both = answer.is_some();
        if has_both {
            self.turn.put(work, answer);
        }
        has_both
    }

    /// The call waits again, and gives its permits back.
    pub fn pause(&self) {
        self.turn.put(None, None);
    }
}

/// The permits of a call.
pub struct Turn {
    pools: Arc<Pools>,
    holders: Holders,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Of the pool for its kind of calls.
    _call: Option<Permit>,
    /// For the bytes of its answer, taken before it is made.
    answer_room: Option<Permit>,
}

impl Turn {
    pub fn new(pools: &Arc<Pools>, holders: &Holders, call: Permit) -> Self {
        let held = Held { _call: Some(call), answer_room: None };
        Self { pools: Arc::clone(pools), holders: holders.clone(), held: Mutex::new(held) }
    }

    /// For whom the call's permits count.
    pub fn holders(&self) -> &Holders {
        &self.holders
    }

    /// The room that was taken for the answer.
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
