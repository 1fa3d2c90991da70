//! Texts with limits.

/// What a customer wishes: 1 to 500 characters. Personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct SpecialRequests(String);

impl SpecialRequests {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        bounded(raw, 500).map(Self).ok_or("must be at most 500 characters, none of them NUL")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a booking comes from, as the client says: 1 to 50 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(String);

impl Source {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        bounded(raw, 50).map(Self).ok_or("must be at most 50 characters, none of them NUL")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text of 1 to `most` characters that PostgreSQL can keep: it has no NUL.
pub(super) fn bounded(raw: String, most: usize) -> Option<String> {
    (!raw.is_empty() && raw.chars().count() <= most && !raw.contains('\0')).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_counted_in_characters() {
        assert!(SpecialRequests::parse("席".repeat(500)).is_ok());
        assert!(SpecialRequests::parse("席".repeat(501)).is_err());
        assert!(SpecialRequests::parse("a\0b".to_owned()).is_err());
    }
}
