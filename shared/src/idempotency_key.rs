//! The idempotency key of a call.

const BYTES_MAX: usize = 255;

/// Identifies one intended call, which may be sent several times: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// # Errors
    /// The form that a key must have.
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let printable = raw.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=BYTES_MAX).contains(&raw.len()) {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 255 printable ASCII characters")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_255_printable_ascii_characters() {
        for good in ["a", " ", "web-7f3a91/booking-1", &"k".repeat(255)] {
            assert!(IdempotencyKey::parse(good.to_owned()).is_ok(), "{good:?}");
        }
        for bad in ["", "tab\t", "ä", "nul\0", &"k".repeat(256)] {
            assert!(IdempotencyKey::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
