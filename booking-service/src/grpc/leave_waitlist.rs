use teppan_shared::{contract::booking::v1::LeaveWaitlistRequest, status::Violations};
use tonic::Status;

use crate::domain::WaitlistEntryId;

/// Decodes the request, or returns every violation.
pub fn decode(request: &LeaveWaitlistRequest) -> Result<WaitlistEntryId, Status> {
    let mut violations = Violations::default();
    let id = violations.check("waitlist_entry_id", WaitlistEntryId::parse(&request.waitlist_entry_id));
    id.ok_or_else(|| violations.into_status())
}
