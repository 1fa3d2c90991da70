use teppan_shared::{
    contract::booking::v1 as wire,
    status::Violations,
    wire::{given, timestamp},
};
use tonic::Status;

use crate::{
    customers::{consent::StoredConsent, consent_history::ConsentChange, find::Customer},
    domain::{ConsentChannel, ConsentKey, ConsentPurpose, CustomerId, Etag, NewConsent, Source},
};

/// A decoded SetConsentRequest.
pub struct Requested {
    pub id: CustomerId,
    pub consent: NewConsent,
    /// The version by the request's etag; `None`: not checked.
    pub version: Option<i64>,
}

/// Decodes the request, or returns every violation.
pub fn decode(request: wire::SetConsentRequest) -> Result<Requested, Status> {
    let mut violations = Violations::default();
    let id = violations.check("customer_id", CustomerId::parse(&request.customer_id));
    let purpose = violations.check("purpose", decode_purpose(request.purpose));
    let channel = violations.check("channel", decode_channel(request.channel));
    let source = violations.check_optional("source", given(request.source).map(|source| Source::parse(&source)));
    let (Some(id), Some(purpose), Some(channel), Some(source)) = (id, purpose, channel, source) else {
        return Err(violations.into_status());
    };
    let consent = NewConsent { key: ConsentKey { purpose, channel }, granted: request.granted, source };
    Ok(Requested { id, consent, version: given(request.etag).map(|etag| Etag::parse(&etag).version()) })
}

pub fn encode(customer: Customer) -> wire::SetConsentResponse {
    wire::SetConsentResponse {
        consents: customer.consents.into_iter().map(consent).collect(),
        etag: Etag::of(customer.version).to_string(),
    }
}

pub fn consent(stored: StoredConsent) -> wire::Consent {
    wire::Consent {
        purpose: wire::ConsentPurpose::from(stored.purpose).into(),
        granted: stored.granted,
        changed_at: Some(timestamp(stored.changed_at)),
        source: stored.source,
        channel: wire::ConsentChannel::from(stored.channel).into(),
    }
}

pub fn consent_change(change: ConsentChange) -> wire::ConsentChange {
    wire::ConsentChange {
        customer_id: change.customer_id.to_string(),
        purpose: wire::ConsentPurpose::from(change.purpose).into(),
        channel: wire::ConsentChannel::from(change.channel).into(),
        granted: change.granted,
        changed_at: Some(timestamp(change.changed_at)),
        source: change.source,
        changed_by: change.changed_by,
    }
}

fn decode_purpose(raw: i32) -> Result<ConsentPurpose, &'static str> {
    match wire::ConsentPurpose::try_from(raw) {
        Ok(wire::ConsentPurpose::Transactional) => Ok(ConsentPurpose::Transactional),
        Ok(wire::ConsentPurpose::Marketing) => Ok(ConsentPurpose::Marketing),
        Ok(wire::ConsentPurpose::Analytics) => Ok(ConsentPurpose::Analytics),
        Ok(wire::ConsentPurpose::Unspecified) | Err(_) => Err("must be a ConsentPurpose other than unspecified"),
    }
}

fn decode_channel(raw: i32) -> Result<ConsentChannel, &'static str> {
    match wire::ConsentChannel::try_from(raw) {
        Ok(wire::ConsentChannel::Unspecified) => Ok(ConsentChannel::Every),
        Ok(wire::ConsentChannel::Web) => Ok(ConsentChannel::Web),
        Ok(wire::ConsentChannel::Email) => Ok(ConsentChannel::Email),
        Ok(wire::ConsentChannel::Sms) => Ok(ConsentChannel::Sms),
        Ok(wire::ConsentChannel::Voice) => Ok(ConsentChannel::Voice),
        Ok(wire::ConsentChannel::Whatsapp) => Ok(ConsentChannel::Whatsapp),
        Ok(wire::ConsentChannel::Facebook) => Ok(ConsentChannel::Facebook),
        Ok(wire::ConsentChannel::Instagram) => Ok(ConsentChannel::Instagram),
        Err(_) => Err("must be a ConsentChannel"),
    }
}
