//! The calls to conversation-service that follow from the events of a customer.

use serde::de::Error as _;
use teppan_shared::contract::{
    conversation::v1::{Channel, FollowUpPurpose, RecordConsentRequest},
    events::v1::{ConsentChanged, ConsentChannel, ConsentPurpose, CustomerConsent, CustomerMerged},
};

/// The calls that follow from a changed consent, about the customer with this id: none for a purpose that no follow-up
/// has.
///
/// # Errors
/// The data is not that of the event.
pub fn of_change(json: &str, customer_id: &str) -> Result<Vec<RecordConsentRequest>, serde_json::Error> {
    let event: ConsentChanged = serde_json::from_str(json)?;
    let consent = CustomerConsent { purpose: event.purpose, channel: event.channel, granted: event.granted };
    requests(&[consent], customer_id, event.customer_version)
}

/// The same of the consents that customers have after they were merged.
///
/// # Errors
/// The data is not that of the event.
pub fn of_merge(json: &str, customer_id: &str) -> Result<Vec<RecordConsentRequest>, serde_json::Error> {
    let event: CustomerMerged = serde_json::from_str(json)?;
    requests(&event.consents, customer_id, event.customer_version)
}

fn requests(
    consents: &[CustomerConsent],
    customer_id: &str,
    customer_version: i64,
) -> Result<Vec<RecordConsentRequest>, serde_json::Error> {
    let mut requests = Vec::new();
    for consent in consents {
        let Some(purpose) = purpose(consent.purpose())? else { continue };
        requests.push(RecordConsentRequest {
            customer_id: customer_id.to_owned(),
            purpose: purpose.into(),
            channel: channel(consent.channel()).into(),
            granted: consent.granted,
            customer_version,
        });
    }
    Ok(requests)
}

fn purpose(of: ConsentPurpose) -> Result<Option<FollowUpPurpose>, serde_json::Error> {
    match of {
        ConsentPurpose::Transactional => Ok(Some(FollowUpPurpose::Transactional)),
        ConsentPurpose::Marketing => Ok(Some(FollowUpPurpose::Marketing)),
        ConsentPurpose::Analytics => Ok(None),
        ConsentPurpose::Unspecified => Err(serde_json::Error::custom("the purpose is missing")),
    }
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

    const CUSTOMER: &str = "01a229a3-3b30-7228-9285-b7f721d32769";

    fn json(purpose: &str, channel: &str) -> String {
        format!(
            r#"{{"customer_id": "{CUSTOMER}", "customer_version": "7", "granted": true,
                 "purpose": "CONSENT_PURPOSE_{purpose}", "channel": "CONSENT_CHANNEL_{channel}"}}"#
        )
    }

    #[test]
    fn a_consent_to_messages_is_delivered_and_one_to_analytics_is_not() {
        let of = |purpose, channel| of_change(&json(purpose, channel), CUSTOMER).expect("readable");
        let [sms] = &of("MARKETING", "SMS")[..] else { panic!("one call") };
        assert_eq!((sms.purpose(), sms.channel()), (FollowUpPurpose::Marketing, Channel::Sms));
        assert_eq!((sms.customer_version, sms.granted, sms.customer_id.as_str()), (7, true, CUSTOMER));
        let [every] = &of("TRANSACTIONAL", "UNSPECIFIED")[..] else { panic!("one call") };
        assert_eq!((every.purpose(), every.channel()), (FollowUpPurpose::Transactional, Channel::Unspecified));
        assert_eq!(of("ANALYTICS", "UNSPECIFIED"), []);
    }

    #[test]
    fn a_merge_delivers_every_consent_to_messages_for_the_id_of_the_message() {
        let merged = format!(
            r#"{{"customer_id": "{CUSTOMER}", "customer_version": "9", "consents": [
                 {{"purpose": "CONSENT_PURPOSE_ANALYTICS", "channel": "CONSENT_CHANNEL_UNSPECIFIED", "granted": true}},
                 {{"purpose": "CONSENT_PURPOSE_MARKETING", "channel": "CONSENT_CHANNEL_UNSPECIFIED", "granted": false}},
                 {{"purpose": "CONSENT_PURPOSE_MARKETING", "channel": "CONSENT_CHANNEL_SMS", "granted": true}}]}}"#
        );
        let requests = of_merge(&merged, "other").expect("readable");
        let calls: Vec<_> = requests.iter().map(|it| (it.customer_id.as_str(), it.channel(), it.granted)).collect();
        assert_eq!(calls, [("other", Channel::Unspecified, false), ("other", Channel::Sms, true)]);
        assert!(requests.iter().all(|request| request.customer_version == 9));
    }

    #[test]
    fn an_event_without_a_purpose_is_unreadable() {
        assert!(["{}", "[]", ""].iter().all(|json| of_change(json, CUSTOMER).is_err()));
    }
}
