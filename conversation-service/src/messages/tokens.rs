use crate::domain::bounded_number;

bounded_number!(
    /// A number of tokens: 0 or more.
    TokenCount, (0..), "must be 0 or more"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_negative() {
        assert_eq!(TokenCount::parse(0).map(TokenCount::get), Ok(0));
        assert!(TokenCount::parse(i32::MAX).is_ok());
        assert!(TokenCount::parse(-1).is_err());
    }
}
