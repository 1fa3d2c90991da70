//! An error with its causes, for the log.

use std::error::Error;

/// What an error says, and after it what each of its sources adds, joined by colons.
///
/// The log's formatters print the error alone. A source is left out when what stands before it says
/// the same, as with the libraries' errors that repeat their sources.
///
/// Of what PostgreSQL answers, `sqlx::Error` shows the primary message alone. DETAIL and HINT, which
/// quote rows and so could hold personal data, are in its `Debug` only: never log that.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{postgres::DatabaseError, read_error::ReadError};

    #[derive(Debug, thiserror::Error)]
    #[error("it says the same: {0}")]
    struct Repeats(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the run failed")]
    struct Plain(#[source] Repeats);

    #[test]
    fn an_error_is_told_with_all_its_causes_and_none_twice() {
        assert_eq!(error_chain(&io::Error::other("alone")), "alone");
        let error = Plain(Repeats(io::Error::other("the disk is full")));
        assert_eq!(error_chain(&error), "the run failed: it says the same: the disk is full");
    }

    #[test]
    fn a_statement_that_failed_is_told_with_what_the_database_said() {
        let error = ReadError::from(DatabaseError::from(sqlx::Error::ColumnNotFound("lost".to_owned())));
        let told = "the database gave no answer: the statement failed: no column found for name: lost";
        assert_eq!(error_chain(&error), told);
    }
}
