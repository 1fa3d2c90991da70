use teppan_shared::{
    contract::booking::v1::{Contact, UpdateCustomerRequest},
    status::Violations,
    wire::given,
};
use tonic::Status;

use super::{decode_phone, update_mask};
use crate::{
    customers::update::ContactChange,
    domain::{CustomerId, Email, Etag, Name, PhoneRegion},
};

/// A decoded UpdateCustomerRequest.
pub struct Update {
    pub id: CustomerId,
    pub change: ContactChange,
    /// The version by the request's etag; `None`: not checked.
    pub version: Option<i64>,
}

/// Decodes the request, or returns every violation. Only the fields in the mask are read.
pub fn decode(request: UpdateCustomerRequest) -> Result<Update, Status> {
    let mut violations = Violations::default();
    let id = violations.check("customer_id", CustomerId::parse(&request.customer_id));
    let region = decode_phone::decode_region(request.phone_region, &mut violations);
    let contact = request.contact.unwrap_or_default();
    let mut change = ContactChange::default();
    let paths = request.update_mask.unwrap_or_default().paths;
    update_mask::apply(&paths, "name or phone", &mut violations, |path, violations| {
        violations.within("contact.", |violations| set(path, &contact, region, &mut change, violations))
    });
    let Some(id) = id else { return Err(violations.into_status()) };
    violations.finish()?;
    Ok(Update { id, change, version: given(request.etag).map(|etag| Etag::parse(&etag).version()) })
}

/// Sets one field of the change. Returns false for a field that does not exist.
fn set(
    path: &str,
    contact: &Contact,
    region: Option<Option<PhoneRegion>>,
    change: &mut ContactChange,
    violations: &mut Violations,
) -> bool {
    match path {
        "name" => change.name = violations.check("name", Name::parse(&contact.name)),
        "email" => {
            let email = given(contact.email.clone()).map(|email| Email::parse(&email));
            change.email = violations.check_optional("email", email);
        }
        "phone" if contact.phone.is_empty() => change.phone = Some(None),
        "phone" => change.phone = decode_phone::decode(&contact.phone, region, violations).map(Some),
        _ => return false,
    }
    true
}
