//! Texts with limits.

/// Names one intended call: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let printable = raw.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=255).contains(&raw.len()) {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 255 printable ASCII characters")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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
    fn a_key_is_printable_and_bounded() {
        for good in ["a", " ", "web-7f3a91/booking-1", &"k".repeat(255)] {
            assert!(IdempotencyKey::parse(good.to_owned()).is_ok(), "{good:?}");
        }
        for bad in ["", "tab\t", "ä", "nul\0", &"k".repeat(256)] {
            assert!(IdempotencyKey::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wishes_are_counted_in_characters() {
        assert!(SpecialRequests::parse("席".repeat(500)).is_ok());
        assert!(SpecialRequests::parse("席".repeat(501)).is_err());
        assert!(SpecialRequests::parse("a\0b".to_owned()).is_err());
    }
}
