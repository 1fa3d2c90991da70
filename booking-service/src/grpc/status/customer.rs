//! Maps the errors about customers to gRPC statuses.

use std::fmt::Display;

use teppan_shared::{
    contract::booking::v1::ExportCustomerRequest,
    status::{Failure, Violations},
};
use tonic::Status;

use super::{CUSTOMER, etag_mismatch, not_found};
use crate::{
    customers::{
        consent::SetConsentError,
        erase::EraseCustomerError,
        export::{ExportCursor, ExportError, ExportPosition},
        merge::{MERGED_MAX, Merge, MergeCustomersError},
        update::{ContactField, UpdateCustomerError},
    },
    domain::CustomerId,
    grpc::export_customer,
};

pub fn update_customer(error: &UpdateCustomerError, id: CustomerId) -> Status {
    match error {
        UpdateCustomerError::NotFound => not_found(CUSTOMER, &id.to_string()),
        UpdateCustomerError::Erased => erased(id),
        UpdateCustomerError::Merged(into) => merged(id, *into),
        UpdateCustomerError::Stale => etag_mismatch("customer"),
        UpdateCustomerError::Unreachable => {
            let mut violations = Violations::default();
            violations.add("contact", "must keep an e-mail address or a telephone number");
            violations.into_status()
        }
        UpdateCustomerError::Taken(field, other) => Failure::precondition(
            "CONTACT_OF_ANOTHER_CUSTOMER",
            customer_name(*other),
            "Another customer has this e-mail address or telephone number: merge the two, or change that customer first.",
        )
        .with(
            "field",
            match field {
                ContactField::Email => "email",
                ContactField::Phone => "phone",
            },
        )
        .with("customer_id", other)
        .into(),
        UpdateCustomerError::Contended => Failure::overloaded().into(),
        UpdateCustomerError::Corrupted(error) => error.to_failure().into(),
        UpdateCustomerError::Database(error) => error.to_failure().into(),
    }
}

pub fn set_consent(error: &SetConsentError, id: CustomerId) -> Status {
    match error {
        SetConsentError::NotFound => not_found(CUSTOMER, &id.to_string()),
        SetConsentError::Erased => erased(id),
        SetConsentError::Merged(into) => merged(id, *into),
        SetConsentError::Stale => etag_mismatch("customer"),
        SetConsentError::Contended => Failure::overloaded().into(),
        SetConsentError::Corrupted(error) => error.to_failure().into(),
        SetConsentError::Database(error) => error.to_failure().into(),
    }
}

pub fn merge_customers(error: &MergeCustomersError, merge: &Merge) -> Status {
    match error {
        MergeCustomersError::NotFound(id) => not_found(CUSTOMER, &id.to_string()),
        MergeCustomersError::Erased(id) => erased(*id),
        MergeCustomersError::Merged { customer, into } => merged(customer, *into),
        MergeCustomersError::Stale => etag_mismatch("customer"),
        MergeCustomersError::OfferedTwice(booking_id) => Failure::precondition(
            "SLOT_ALREADY_OFFERED",
            customer_name(merge.duplicate.id),
            "Both customers have an open offer for the same slot: accept or leave one of them first.",
        )
        .with("booking_id", booking_id)
        .into(),
        MergeCustomersError::TooMany => Failure::precondition(
            "TOO_MANY_MERGED_CUSTOMERS",
            customer_name(merge.remaining.id),
            "So many customers are not merged into one: check whether they are one person.",
        )
        .with("limit", MERGED_MAX)
        .into(),
        MergeCustomersError::Contended => Failure::overloaded().into(),
        MergeCustomersError::Corrupted(error) => error.to_failure().into(),
        MergeCustomersError::Database(error) => error.to_failure().into(),
    }
}

pub fn erase_customer(error: &EraseCustomerError, id: CustomerId) -> Status {
    match error {
        EraseCustomerError::NotFound => not_found(CUSTOMER, &id.to_string()),
        EraseCustomerError::Merged(into) => merged(id, *into),
        EraseCustomerError::HasLiveBookings(count) => Failure::precondition(
            "CUSTOMER_HAS_LIVE_BOOKINGS",
            customer_name(id),
            "The customer has bookings that can still take place: cancel them first.",
        )
        .with("count", count)
        .into(),
        EraseCustomerError::Corrupted(error) => error.to_failure().into(),
        EraseCustomerError::Database(error) => error.to_failure().into(),
    }
}

pub fn export_customer(error: &ExportError, request: &ExportCustomerRequest) -> Status {
    match error {
        ExportError::NotFound => not_found(CUSTOMER, &request.customer_id),
        ExportError::Merged(into) => merged(&request.customer_id, *into),
        ExportError::Unreadable { position, booking_count, source } => {
            let after = ExportCursor { position: ExportPosition::Booking(*position), booking_count: *booking_count };
            let token = export_customer::token(request, after);
            source.to_failure_of_page(token).with("booking_id", position.2).into()
        }
        ExportError::Corrupted(error) => error.to_failure().into(),
        ExportError::Database(error) => error.to_failure().into(),
    }
}

fn erased(id: CustomerId) -> Status {
    let message = "The personal data of this customer was erased: there is nothing left to change.";
    Failure::precondition("CUSTOMER_ERASED", customer_name(id), message).into()
}

fn merged(id: impl Display, into: CustomerId) -> Status {
    let message = "This customer was merged into another one: use the customer in the metadata.";
    Failure::precondition("CUSTOMER_MERGED", customer_name(id), message).with("customer_id", into).into()
}

fn customer_name(id: impl Display) -> String {
    format!("customers/{id}")
}
