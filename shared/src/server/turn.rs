//! The permit of a call, which the call gives back while it waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
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

/// The bounds of a call, in the extensions of its request: when it ends, and its permit, which it gives back while it
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

    /// The call begins to wait. It counts as work only between [`Wait::resume`] and [`Wait::pause`].
    ///
    /// # Errors
    /// [`TooManyWait`].
    pub fn wait(&self) -> Result<Wait<'_>, TooManyWait> {
        let turn = &*self.turn;
        let waiting = turn.pools.take(Resource::Waiting, &turn.holders, 1).ok_or(TooManyWait)?;
        turn.put(None);
        Ok(Wait { turn, _waiting: waiting })
    }
}

/// A call that waits. It holds a permit of the waiting calls until this is dropped.
pub struct Wait<'a> {
    turn: &'a Turn,
    _waiting: Permit,
}

impl Wait<'_> {
    /// Returns when the call has a permit to work.
    pub async fn resume(&self) {
        let work = self.turn.pools.take_again(Resource::Work, &self.turn.holders).await;
        self.turn.put(Some(work));
    }

    /// The call waits again, and gives its permit to work back.
    pub fn pause(&self) {
        self.turn.put(None);
    }
}

/// The permit that a call holds of the pool for its kind of calls.
pub struct Turn {
    pools: Arc<Pools>,
    holders: Holders,
    permit: Mutex<Option<Permit>>,
}

impl Turn {
    pub fn new(pools: &Arc<Pools>, holders: &Holders, permit: Permit) -> Self {
        Self { pools: Arc::clone(pools), holders: holders.clone(), permit: Mutex::new(Some(permit)) }
    }

    /// For whom the call's permits count.
    pub fn holders(&self) -> &Holders {
        &self.holders
    }

    fn put(&self, permit: Option<Permit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}
