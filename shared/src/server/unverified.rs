//! Reads request bodies whose sender is not authenticated yet.

use std::sync::Arc;

use futures::TryStreamExt as _;

use super::{
    connection::InUse,
    pools::{Holders, Permit, Pools, Resource},
};

/// The most bytes of all such bodies together. Each connection has a share of them.
const BYTES: usize = 8 * 1024 * 1024;

/// The room for unverified bodies.
pub struct UnverifiedPool(Pools);

impl Default for UnverifiedPool {
    fn default() -> Self {
        Self(Pools::sized(|_| BYTES))
    }
}

/// Reads an unverified body; in the extensions of every HTTP request.
#[derive(Clone)]
pub struct UnverifiedBodies {
    pool: Arc<UnverifiedPool>,
    request: Arc<InUse>,
}

/// A complete body. It takes room in the pool until it is dropped.
pub struct UnverifiedBody {
    bytes: Vec<u8>,
    _room: Permit,
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnverifiedError {
    #[error("the body is too large")]
    TooLarge,
    #[error("there is no room for the body")]
    NoRoom,
    #[error("the body is incomplete")]
    Incomplete,
}

impl UnverifiedBodies {
    pub(super) fn new(pool: &Arc<UnverifiedPool>, request: &Arc<InUse>) -> Self {
        Self { pool: Arc::clone(pool), request: Arc::clone(request) }
    }

    /// The whole body, of at most `bytes_max`.
    ///
    /// # Errors
    /// [`UnverifiedError`].
    pub async fn read(&self, body: axum::body::Body, bytes_max: usize) -> Result<UnverifiedBody, UnverifiedError> {
        let pools = &self.pool.0;
        let holders = Holders::of_connection(&self.request.connection().holder);
        let (mut bytes, mut room) = (Vec::new(), pools.empty(Resource::ArrivingBytes, &holders));
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.try_next().await.map_err(|_| UnverifiedError::Incomplete)? {
            if bytes.len() + chunk.len() > bytes_max {
                return Err(UnverifiedError::TooLarge);
            }
            if !room.grow(pools, chunk.len()) {
                return Err(UnverifiedError::NoRoom);
            }
            bytes.extend_from_slice(&chunk);
        }
        self.request.serve();
        Ok(UnverifiedBody { bytes, _room: room })
    }
}

impl AsRef<[u8]> for UnverifiedBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
