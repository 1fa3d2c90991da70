//! The id of a conversation, in both services.

use std::fmt;

const BYTES_MAX: usize = 200;

/// The characters that RFC 3986 allows in a URI, beside letters and digits. The constraints of both services' schemas
/// have the same set.
const URI_MARKS: &[u8] = b"-._~:/?#[]@!$&'()*+,;=%";

/// The id of a conversation, given by the client: 1 to 200 of the characters of a URI (RFC 3986), so also the addresses
/// of channels, such as `whatsapp:+4930123456` or an e-mail address. It has no space, quotation mark, backslash or
/// bracket that a log or a shell would have to escape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct ConversationId(String);

impl ConversationId {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || URI_MARKS.contains(&byte);
        if (1..=BYTES_MAX).contains(&raw.len()) && raw.bytes().all(allowed) {
            Ok(Self(raw))
        } else {
            Err("must be 1 to 200 characters: ASCII letters, digits and -._~:/?#[]@!$&'()*+,;=%")
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

/// Whether logs and the audit log may show an id: it has only ASCII letters, digits, dots, underscores, colons and
/// hyphens, as opaque ids have. Other characters are those of addresses, so such an id may be personal data.
pub fn is_loggable(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_id_has_1_to_200_characters_of_a_uri() {
        let every_mark = "-._~:/?#[]@!$&'()*+,;=%";
        let long = "x".repeat(200);
        for good in [
            "a",
            "web-7f3a91",
            "A.b_c:9-",
            "whatsapp:+4930123456",
            "ada.o'neil+tables@example.org",
            "https://chat.example.org/c/7?room=1&of=a%20b#last",
            every_mark,
            &long,
        ] {
            assert!(ConversationId::parse(good.to_owned()).is_ok(), "{good}");
        }
        let unsafe_marks = "\"\\<>{}|^`".chars().map(|mark| format!("a{mark}b"));
        let too_long = "x".repeat(201);
        let others = ["", " ", "a b", "ä", "a\n", "a\0", "a\u{7f}", &too_long].map(str::to_owned);
        for bad in unsafe_marks.chain(others) {
            assert!(ConversationId::parse(bad.clone()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_with_the_characters_of_addresses_are_not_logged() {
        for logged in ["web-7f3a91", "A.b_c:9-", "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90"] {
            assert!(is_loggable(logged), "{logged}");
        }
        for left_out in ["whatsapp:+4930123456", "ada@example.org", "https://chat.example.org/ada"] {
            assert!(!is_loggable(left_out), "{left_out}");
        }
    }
}
