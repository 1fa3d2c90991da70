use teppan_shared::contract::conversation::v1::{
    DeleteCustomerRequest, DeleteCustomerResponse, RecordConsentRequest, RecordConsentResponse,
};
use tonic::Status;

use super::{decode, enums::WireEnum as _};
use crate::{
    domain::Channel,
    follow_ups::{Consent, ConsentRecorded, ConsentVersion, CustomerDeleted, CustomerId, FollowUpPurpose},
};

/// Reads the request, or reports everything that is wrong with it.
pub fn record(request: &RecordConsentRequest) -> Result<Consent, Status> {
    decode::request(|violations| {
        let customer_id = violations.check("customer_id", CustomerId::parse(&request.customer_id));
        let purpose = violations.check("purpose", FollowUpPurpose::required(request.purpose));
        let channel = violations.check("channel", Channel::optional(request.channel));
        let version = violations.check("customer_version", ConsentVersion::parse(request.customer_version));
        Some(Consent {
            customer_id: customer_id?,
            purpose: purpose?,
            channel: channel?,
            granted: request.granted,
            version: version?,
        })
    })
}

pub fn encode_recorded(result: ConsentRecorded) -> RecordConsentResponse {
    RecordConsentResponse { recorded: result.recorded, follow_ups_cancelled: result.cancelled }
}

/// Reads the request, or reports everything that is wrong with it.
pub fn delete(request: &DeleteCustomerRequest) -> Result<CustomerId, Status> {
    decode::request(|violations| violations.check("customer_id", CustomerId::parse(&request.customer_id)))
}

pub fn encode_deleted(deleted: CustomerDeleted) -> DeleteCustomerResponse {
    DeleteCustomerResponse {
        consents_deleted: deleted.consents,
        follow_ups_deleted: deleted.follow_ups,
        remaining: deleted.remaining,
    }
}
