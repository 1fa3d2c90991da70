use teppan_shared::{contract::booking::v1::LeaveWaitlistRequest, status::Violations};
use tonic::Status;

use crate::domain::WaitlistEntryId;

/// Reads the request, or says what is wrong with it.
pub fn decode(request: &LeaveWaitlistRequest) -> Result<WaitlistEntryId, Status> {
    let mut violations = Violations::default();
    let id = violations.check("waitlist_entry_id", WaitlistEntryId::parse(&request.waitlist_entry_id));
    id.ok_or_else(|| violations.into_status())
}
