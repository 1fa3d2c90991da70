//! What every use case works with. Each use case is a method of [`Core`], in a file of its own.

use teppan_shared::{
    clock::Clock,
    keys::Keys,
    postgres::{Database, DatabaseError},
    sealing::{KeyRing, KeyedHash, OpenError},
};

/// The service behind its gRPC face.
pub struct Core {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) ring: KeyRing,
    /// Tells whether two calls with one message id are the same.
    pub(crate) fingerprint: KeyedHash,
}

impl Core {
    pub fn new(database: Database, keys: &Keys, clock: Clock) -> Self {
        Self {
            database,
            clock,
            ring: keys.ring(),
            fingerprint: KeyedHash::derive(&keys.hash, "teppan conversation messages.fingerprint"),
        }
    }
}

/// What is stored cannot be read back: altered, sealed under a lost key, or against a constraint.
#[derive(Debug, thiserror::Error)]
pub enum Corrupted {
    #[error("a sealed value does not open")]
    Sealed(#[from] OpenError),
    #[error("{0} is not what its constraint allows")]
    Column(&'static str),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it is not there")]
    NotFound,
    #[error("it is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}
