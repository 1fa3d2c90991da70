use std::fmt;

use uuid::Uuid;

use super::NUL;

const USER_ID_CHARS_MAX: usize = 100;

/// The id of a message, made by the client: the idempotency key of storing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct MessageId(pub Uuid);

impl MessageId {
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let must = "must be a UUID, such as 0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90";
        Uuid::try_parse(raw).map(Self).map_err(|_| must)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The customer as the client knows them: 1 to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct UserId(String);

impl UserId {
    pub fn parse(raw: String) -> Result<Self, &'static str> {
        if !(1..=USER_ID_CHARS_MAX).contains(&raw.chars().count()) {
            Err("must be 1 to 100 characters")
        } else if raw.contains(NUL) {
            Err("must not contain the character U+0000")
        } else {
            Ok(Self(raw))
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
    fn a_message_id_is_a_uuid_in_any_case() {
        let id = MessageId::parse("0193A1F2-7C3E-7B61-9A44-5D1F0C2E8B90").expect("a UUID");
        assert_eq!(id.to_string(), "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90");
        for bad in ["", "7", "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b9", "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b9g"] {
            assert!(MessageId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_user_id_is_counted_in_characters() {
        assert!(UserId::parse("ü".repeat(100)).is_ok());
        for bad in ["", &"ü".repeat(101), "a\0b"] {
            assert!(UserId::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
