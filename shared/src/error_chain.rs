//! An error with its causes, for the log.

use std::error::Error;

/// The text of an error and of its sources, joined by colons.
///
/// The log's formatters print only the error itself. A source is left out if its text is already contained, because
/// some libraries' errors repeat their sources.
///
/// The `Display` of `sqlx::Error` has only PostgreSQL's primary message. Its `Debug` also has DETAIL and HINT, which
/// quote rows and may contain personal data: never log it.
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
    #[error("the source is repeated: {0}")]
    struct Repeats(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the run failed")]
    struct Plain(#[source] Repeats);

    #[test]
    fn an_error_is_shown_with_all_its_causes_and_without_repetition() {
        assert_eq!(error_chain(&io::Error::other("alone")), "alone");
        let error = Plain(Repeats(io::Error::other("the disk is full")));
        assert_eq!(error_chain(&error), "the run failed: the source is repeated: the disk is full");
    }

    #[test]
    fn a_failed_statement_is_shown_with_the_error_of_the_database() {
        let error = ReadError::from(DatabaseError::from(sqlx::Error::ColumnNotFound("lost".to_owned())));
        let expected = "the database gave no answer: the statement failed: no column found for name: lost";
        assert_eq!(error_chain(&error), expected);
    }
}
