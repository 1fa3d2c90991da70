//! Errors of the calls, and the statuses that the services answer too.

use teppan_shared::status::Failure;
use tonic::{Code, Status};

/// Why a call did not succeed.
pub enum CallError {
    /// The answer to the caller.
    Refused(Status),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for CallError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.into())
    }
}

impl CallError {
    /// Whether a concurrent transaction was first with a row of this unique constraint.
    pub fn violates(&self, constraint: &str) -> bool {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.constraint() == Some(constraint),
            _ => false,
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(status) => status,
            CallError::Database(sqlx::Error::PoolTimedOut) => Failure::overloaded().into(),
            CallError::Database(error) => {
                eprintln!("plain: {error}");
                Failure::database_unavailable().into()
            }
        }
    }
}

pub fn key_reused() -> Failure {
    let message = "This key was used for another request: use a new key for a new request.";
    Failure::invalid_argument("IDEMPOTENCY_KEY_REUSED", message)
}

/// A repeated attempt lost each time.
pub fn contended() -> Status {
    Failure::overloaded().into()
}

/// The same code and reason as the service's own refusal of a slot.
pub fn slot_refused(reason: &'static str) -> Failure {
    match reason {
        "VENUE_NOT_FOUND" | "SLOT_NOT_FOUND" => Failure::new(Code::NotFound, reason, "There is no such slot."),
        _ => Failure::precondition(reason, "slot", "The slot cannot be booked: choose another one."),
    }
}
