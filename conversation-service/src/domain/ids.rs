use super::{bounded_text, uuid_id};

uuid_id!(
    /// The id of a message. The client generates it; it is the idempotency key of storing the message.
    MessageId
);

bounded_text!(
    /// The client's id of the customer: 1 to 100 characters.
    UserId, 1..=100, "must be 1 to 100 characters"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_is_a_uuid_in_upper_or_lower_case() {
        let id = MessageId::parse("0193A1F2-7C3E-7B61-9A44-5D1F0C2E8B90").expect("a UUID");
        assert_eq!(id.to_string(), "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b90");
        for bad in ["", "7", "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b9", "0193a1f2-7c3e-7b61-9a44-5d1f0c2e8b9g"] {
            assert!(MessageId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_length_of_a_user_id_is_limited_in_characters() {
        assert!(UserId::parse("ü".repeat(100)).is_ok());
        for bad in ["", &"ü".repeat(101), "a\0b"] {
            assert!(UserId::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
