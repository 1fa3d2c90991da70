//! Maps the errors about customers to gRPC statuses.

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
        export::{ExportError, ExportPosition},
        update::{ContactField, UpdateCustomerError},
    },
    domain::CustomerId,
    grpc::export_customer,
};

pub fn update_customer(error: &UpdateCustomerError, id: CustomerId) -> Status {
    match error {
        UpdateCustomerError::NotFound => not_found(CUSTOMER, &id.to_string()),
        UpdateCustomerError::Erased => erased(id),
        UpdateCustomerError::Stale => etag_mismatch("customer"),
        UpdateCustomerError::Unreachable => {
            let mut violations = Violations::default();
            violations.add("contact", "must keep an e-mail address or a telephone number");
            violations.into_status()
        }
        UpdateCustomerError::Taken(field, other) => Failure::precondition(
            "CONTACT_OF_ANOTHER_CUSTOMER",
            customer_name(*other),
            "Another customer has this e-mail address or telephone number: change that customer first.",
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
        SetConsentError::Stale => etag_mismatch("customer"),
        SetConsentError::Contended => Failure::overloaded().into(),
        SetConsentError::Corrupted(error) => error.to_failure().into(),
        SetConsentError::Database(error) => error.to_failure().into(),
    }
}

pub fn erase_customer(error: &EraseCustomerError, id: CustomerId) -> Status {
    match error {
        EraseCustomerError::NotFound => not_found(CUSTOMER, &id.to_string()),
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
        ExportError::Unreadable { position, source } => {
            let token = export_customer::token(request, ExportPosition::Booking(*position));
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

fn customer_name(id: CustomerId) -> String {
    format!("customers/{id}")
}
