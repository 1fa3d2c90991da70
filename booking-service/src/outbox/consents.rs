//! The calls to conversation-service that follow from the events of a customer.

use serde::de::Error as _;
use teppan_shared::contract::{
    conversation::v1::{Channel, FollowUpPurpose, RecordConsentRequest},
    events::v1::{ConsentChanged, ConsentChannel, ConsentPurpose},
};

/// The call that follows from a changed consent; `None` for a purpose that no follow-up has.
///
/// # Errors
/// The data is not that of the event.
pub fn record_consent(json: &str) -> Result<Option<RecordConsentRequest>, serde_json::Error> {
    let event: ConsentChanged = serde_json::from_str(json)?;
    let purpose = match event.purpose() {
        ConsentPurpose::Transactional => FollowUpPurpose::Transactional,
        ConsentPurpose::Marketing => FollowUpPurpose::Marketing,
        ConsentPurpose::Analytics => return Ok(None),
        ConsentPurpose::Unspecified => return Err(serde_json::Error::custom("the purpose is missing")),
    };
    Ok(Some(RecordConsentRequest {
        customer_id: event.customer_id.clone(),
        purpose: purpose.into(),
        channel: channel(event.channel()).into(),
        granted: event.granted,
        customer_version: event.customer_version,
    }))
}

fn channel(of: ConsentChannel) -> Channel {
    match of {
        ConsentChannel::Unspecified => Channel::Unspecified,
        ConsentChannel::Web => Channel::Web,
        ConsentChannel::Email => Channel::Email,
        ConsentChannel::Sms => Channel::Sms,
        ConsentChannel::Voice => Channel::Voice,
        ConsentChannel::Whatsapp => Channel::Whatsapp,
        ConsentChannel::Facebook => Channel::Facebook,
        ConsentChannel::Instagram => Channel::Instagram,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(purpose: &str, channel: &str) -> String {
        format!(
            r#"{{"customer_id": "01a229a3-3b30-7228-9285-b7f721d32769", "customer_version": "7", "granted": true,
                 "purpose": "CONSENT_PURPOSE_{purpose}", "channel": "CONSENT_CHANNEL_{channel}"}}"#
        )
    }

    #[test]
    fn a_consent_to_messages_is_delivered_and_one_to_analytics_is_not() {
        let request = record_consent(&json("MARKETING", "SMS")).expect("readable").expect("a call");
        assert_eq!((request.purpose(), request.channel()), (FollowUpPurpose::Marketing, Channel::Sms));
        assert_eq!((request.customer_version, request.granted), (7, true));
        let every = record_consent(&json("TRANSACTIONAL", "UNSPECIFIED")).expect("readable").expect("a call");
        assert_eq!((every.purpose(), every.channel()), (FollowUpPurpose::Transactional, Channel::Unspecified));
        assert_eq!(record_consent(&json("ANALYTICS", "UNSPECIFIED")).expect("readable"), None);
    }

    #[test]
    fn an_event_without_a_purpose_is_unreadable() {
        assert!(record_consent("{}").is_err() && record_consent("[]").is_err() && record_consent("").is_err());
    }
}
