//! The id of a conversation, in both services.

use std::fmt;

const BYTES_MAX: usize = 100;

/// The id of a conversation, given by the client: 1 to 100 of `A-Z a-z 0-9 . _ : -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct ConversationId(String);

impl ConversationId {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if (1..=BYTES_MAX).contains(&raw.len()) && raw.bytes().all(allowed) {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 100 characters: ASCII letters, digits, dot, underscore, colon and hyphen")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_id_has_1_to_100_allowed_characters() {
        for good in ["a", "web-7f3a91", "A.b_c:9-", &"x".repeat(100)] {
            assert!(ConversationId::parse(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a/b", "ä", "a\n", "a\0", &"x".repeat(101)] {
            assert!(ConversationId::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
