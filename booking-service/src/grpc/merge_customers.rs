use teppan_shared::{contract::booking::v1::MergeCustomersRequest, status::Violations, wire::given};
use tonic::Status;

use crate::{
    customers::merge::{Merge, MergeSide},
    domain::{CustomerId, Etag},
};

/// Decodes the request, or returns every violation.
pub fn decode(request: MergeCustomersRequest) -> Result<Merge, Status> {
    let mut violations = Violations::default();
    let remaining = violations.check("customer_id", CustomerId::parse(&request.customer_id));
    let duplicate = violations.check("duplicate_customer_id", CustomerId::parse(&request.duplicate_customer_id));
    if remaining.is_some() && remaining == duplicate {
        violations.add("duplicate_customer_id", "must be another customer than customer_id");
    }
    let (Some(remaining), Some(duplicate)) = (remaining, duplicate) else { return Err(violations.into_status()) };
    violations.finish()?;
    let side = |id, etag| MergeSide { id, version: given(etag).map(|etag| Etag::parse(&etag).version()) };
    Ok(Merge {
        remaining: side(remaining, request.etag),
        duplicate: side(duplicate, request.duplicate_etag),
        validate_only: request.validate_only,
    })
}
