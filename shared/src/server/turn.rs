//! A call's permit, which it gives back while it waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::pools::{Holder, Permit, Pools, Resource};
use crate::status::Failure;

/// Who may not wait comes again after so long: a look at what is due costs more than waiting for it.
const WAIT_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// As many calls wait as may.
#[derive(Debug, thiserror::Error)]
#[error("as many calls wait as may")]
pub struct TooManyWait;

impl TooManyWait {
    pub fn to_failure(&self) -> Failure {
        Failure::overloaded().retry_after(WAIT_AGAIN_AFTER)
    }
}

/// How long a call may go on: in the extensions of every request, for calls that wait for something.
#[derive(Clone)]
pub struct Bounds {
    pub(super) ends_at: tokio::time::Instant,
    pub(super) closing: CancellationToken,
    pub(super) turn: Arc<Turn>,
}

impl Bounds {
    /// Those of a call that came through the server.
    ///
    /// # Errors
    /// INTERNAL for any other.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Failure::internal().into())
    }

    /// When the call is answered for it, by its client's deadline or the cap.
    pub fn ends_at(&self) -> tokio::time::Instant {
        self.ends_at
    }

    /// Returns when the connection takes no new calls any more: whoever waits stops waiting.
    pub async fn draining(&self) {
        self.closing.cancelled().await;
    }

    /// From here on the call waits, and does not count as work but while [`Wait::resume`] says so.
    ///
    /// # Errors
    /// [`TooManyWait`]: in all, or on this connection.
    pub fn wait(&self) -> Result<Wait<'_>, TooManyWait> {
        let turn = &*self.turn;
        let waiting = turn.pools.take(Resource::Waiting, &turn.holder, 1).ok_or(TooManyWait)?;
        turn.put(None);
        Ok(Wait { turn, _waiting: waiting })
    }
}

/// A call that waits.
pub struct Wait<'a> {
    turn: &'a Turn,
    _waiting: Permit,
}

impl Wait<'_> {
    /// Returns when the call may work.
    pub async fn resume(&self) {
        let work = self.turn.pools.take_again(Resource::Work, &self.turn.holder).await;
        self.turn.put(Some(work));
    }

    /// The call has nothing to do again.
    pub fn pause(&self) {
        self.turn.put(None);
    }
}

/// What a call holds of the pool that its kind of calls has.
pub struct Turn {
    pools: Arc<Pools>,
    holder: Arc<Holder>,
    permit: Mutex<Option<Permit>>,
}

impl Turn {
    pub fn new(pools: &Arc<Pools>, holder: &Arc<Holder>, permit: Permit) -> Self {
        Self { pools: Arc::clone(pools), holder: Arc::clone(holder), permit: Mutex::new(Some(permit)) }
    }

    fn put(&self, permit: Option<Permit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}
