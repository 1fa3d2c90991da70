//! The events of customers, which are published and contain only ids and figures.

use chrono::{DateTime, Utc};
use serde::Serialize;
use teppan_shared::contract::events::v1 as wire;

use crate::{
    bookings::event_data::timestamp,
    domain::{ConsentChannel, ConsentPurpose, CustomerId, EventId, NewConsent},
};

/// The type of [`wire::CustomerErased`]. `erase_customer` in the schema writes the event.
pub const ERASED: &str = "teppan.customer.erased.v1";

/// The type of [`wire::CustomerMerged`]. `merge_customers` in the schema writes the event.
pub const MERGED: &str = "teppan.customer.merged.v1";

/// The type of [`wire::ConsentChanged`].
pub const CONSENT_CHANGED: &str = "teppan.customer.consent_changed.v1";

/// An event that a statement writes together with the change.
pub struct NewCustomerEvent {
    pub id: EventId,
    /// The event type, such as `teppan.customer.updated.v1`.
    pub kind: &'static str,
    /// JSON.
    pub data: String,
}

impl NewCustomerEvent {
    pub fn updated(id: CustomerId, at: DateTime<Utc>) -> Self {
        let event = wire::CustomerUpdated { customer_id: id.to_string(), occurred_at: timestamp(at) };
        Self::new("teppan.customer.updated.v1", &event)
    }

    /// The event of a consent, with the version of the customer after it.
    pub fn consent_changed(id: CustomerId, version: i64, consent: &NewConsent, at: DateTime<Utc>) -> Self {
        let event = wire::ConsentChanged {
            customer_id: id.to_string(),
            occurred_at: timestamp(at),
            customer_version: version,
            purpose: wire::ConsentPurpose::from(consent.key.purpose).into(),
            channel: wire::ConsentChannel::from(consent.key.channel).into(),
            granted: consent.granted,
        };
        Self::new(CONSENT_CHANGED, &event)
    }

    fn new(kind: &'static str, event: &impl Serialize) -> Self {
        Self { id: EventId::generate(), kind, data: serde_json::to_string(event).expect("ids and figures") }
    }
}

impl From<ConsentPurpose> for wire::ConsentPurpose {
    fn from(purpose: ConsentPurpose) -> Self {
        match purpose {
            ConsentPurpose::Transactional => Self::Transactional,
            ConsentPurpose::Marketing => Self::Marketing,
            ConsentPurpose::Analytics => Self::Analytics,
        }
    }
}

impl From<ConsentChannel> for wire::ConsentChannel {
    fn from(channel: ConsentChannel) -> Self {
        match channel {
            ConsentChannel::Every => Self::Unspecified,
            ConsentChannel::Web => Self::Web,
            ConsentChannel::Email => Self::Email,
            ConsentChannel::Sms => Self::Sms,
            ConsentChannel::Voice => Self::Voice,
            ConsentChannel::Whatsapp => Self::Whatsapp,
            ConsentChannel::Facebook => Self::Facebook,
            ConsentChannel::Instagram => Self::Instagram,
        }
    }
}
