//! Errors of reading stored data.

use crate::{error_chain::error_chain, postgres::DatabaseError, sealing::OpenError, status::Failure};

/// Stored data cannot be read: they were altered, sealed with a lost key, or violate a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Corrupted {
    #[error("a sealed value does not open")]
    Sealed(#[from] OpenError),
    /// The column as `table.column`, or as `statement.column` when a statement made it.
    #[error("{0} has an invalid value")]
    Column(&'static str),
}

impl Corrupted {
    /// Checks that array columns that are read together have the same length.
    ///
    /// # Errors
    /// When they differ.
    pub fn unless_even(columns: &'static str, lengths: &[usize]) -> Result<(), Self> {
        if lengths.windows(2).all(|pair| pair[0] == pair[1]) { Ok(()) } else { Err(Self::Column(columns)) }
    }

    /// The failure for the client. The cause, which the client does not see, is logged here once.
    pub fn to_failure(&self) -> Failure {
        tracing::error!(error = error_chain(self), "stored data cannot be read");
        Failure::data_corrupted()
    }

    /// [`Corrupted::to_failure`] for the first entry of a page. The list continues after that entry.
    pub fn to_failure_of_page(&self, next_page_token: String) -> Failure {
        let message = "The first entry of this page cannot be read: the operators have to look into it. The list goes \
                       on with the next_page_token in the metadata.";
        self.to_failure().with_message(message).with("next_page_token", next_page_token)
    }
}

/// Why stored data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it does not exist")]
    NotFound,
    #[error("it is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}
