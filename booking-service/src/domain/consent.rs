//! Consents of customers: for a purpose, by one channel or by every channel.

use serde::{Deserialize, Serialize};

use super::Source;

/// What a consent is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsentPurpose {
    /// Messages about the customer's own bookings.
    Transactional,
    Marketing,
    /// Training and evaluation.
    Analytics,
}

impl ConsentPurpose {
    /// Whether it is for messages to the customer, which conversation-service hands out.
    pub fn is_of_messages(self) -> bool {
        match self {
            Self::Transactional | Self::Marketing => true,
            Self::Analytics => false,
        }
    }
}

/// The channel for which a consent is. The columns have the names of conversation-service.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsentChannel {
    /// Stored as the empty text.
    #[serde(rename = "")]
    #[sqlx(rename = "")]
    #[strum(serialize = "")]
    Every,
    Web,
    Email,
    Sms,
    Voice,
    Whatsapp,
    Facebook,
    Instagram,
}

/// What a consent is for, and by which channel. A customer has at most one consent for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentKey {
    pub purpose: ConsentPurpose,
    pub channel: ConsentChannel,
}

/// A request to record a consent.
#[derive(Debug, Clone)]
pub struct NewConsent {
    pub key: ConsentKey,
    pub granted: bool,
    pub source: Option<Source>,
}

impl NewConsent {
    /// Whether a customer with these consents is already as requested. A consent for every channel replaces those of
    /// single channels for the same purpose.
    pub fn is_reached(&self, consents: impl IntoIterator<Item = (ConsentKey, bool)>) -> bool {
        let mut found = false;
        for (key, granted) in consents {
            if key == self.key && granted == self.granted {
                found = true;
            } else if self.replaces(key) {
                return false;
            }
        }
        found
    }

    fn replaces(&self, key: ConsentKey) -> bool {
        key.purpose == self.key.purpose && (key == self.key || self.key.channel == ConsentChannel::Every)
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::{ConsentChannel::*, ConsentPurpose::*, *};

    fn key(purpose: ConsentPurpose, channel: ConsentChannel) -> ConsentKey {
        ConsentKey { purpose, channel }
    }

    fn wanted(purpose: ConsentPurpose, channel: ConsentChannel, granted: bool) -> NewConsent {
        NewConsent { key: key(purpose, channel), granted, source: None }
    }

    #[test]
    fn only_the_very_same_record_makes_a_request_superfluous() {
        assert!(!wanted(Marketing, Email, true).is_reached([]));
        assert!(!wanted(Transactional, Every, true).is_reached([]), "without a record it is granted, but not recorded");
        let every = (key(Marketing, Every), true);
        assert!(!wanted(Marketing, Email, true).is_reached([every]));
        assert!(wanted(Marketing, Every, true).is_reached([every, (key(Analytics, Email), false)]));
        assert!(!wanted(Marketing, Every, false).is_reached([every]));
    }

    #[test]
    fn a_request_for_every_channel_is_reached_only_when_no_channel_has_a_record() {
        let consents = [(key(Marketing, Every), false), (key(Marketing, Sms), true)];
        assert!(!wanted(Marketing, Every, false).is_reached(consents));
        assert!(wanted(Marketing, Sms, true).is_reached(consents));
    }

    #[test]
    fn a_channel_is_stored_by_its_name_and_every_channel_as_the_empty_text() {
        let columns: Vec<&str> = ConsentChannel::VARIANTS.iter().map(Into::into).collect();
        assert_eq!(columns, ["", "WEB", "EMAIL", "SMS", "VOICE", "WHATSAPP", "FACEBOOK", "INSTAGRAM"]);
        for channel in ConsentChannel::VARIANTS {
            let column: &'static str = channel.into();
            assert_eq!(serde_json::to_value(channel).expect("a text"), column);
        }
    }
}
