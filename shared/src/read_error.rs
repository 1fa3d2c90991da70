//! Why something stored could not be read.

use crate::{error_chain::error_chain, postgres::DatabaseError, sealing::OpenError, status::Failure};

/// What is stored cannot be read back: altered, sealed under a lost key, or against a constraint.
#[derive(Debug, thiserror::Error)]
pub enum Corrupted {
    #[error("a sealed value does not open")]
    Sealed(#[from] OpenError),
    /// The column as `table.column`, or as `statement.column` when a statement made it.
    #[error("{0} is not what it may be")]
    Column(&'static str),
}

impl Corrupted {
    /// Columns that are read side by side are of one length: the shortest would cut the others off.
    ///
    /// # Errors
    /// When they are not.
    pub fn unless_even(columns: &'static str, lengths: &[usize]) -> Result<(), Self> {
        if lengths.windows(2).all(|pair| pair[0] == pair[1]) { Ok(()) } else { Err(Self::Column(columns)) }
    }

    /// What a client is told. What it is not told, the cause, is logged here, once.
    pub fn to_failure(&self) -> Failure {
        tracing::error!(error = error_chain(self), "stored data cannot be read");
        Failure::data_corrupted()
    }

    /// [`Corrupted::to_failure`], of the entry with which a page of a list begins: the list goes on behind it.
    pub fn to_failure_of_page(&self, next_page_token: String) -> Failure {
        let message = "The first entry of this page cannot be read: the operators have to look into it. The list goes \
                       on with the next_page_token in the metadata.";
        self.to_failure().saying(message).with("next_page_token", next_page_token)
    }
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
