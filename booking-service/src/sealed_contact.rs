//! A contact as it is stored.

use teppan_shared::sealing::Place;

use crate::{
    core::Core,
    domain::{Contact, CustomerId},
};

/// What becomes the row of a customer, unless the hash finds one.
pub struct SealedContact {
    /// The id of a new row.
    pub customer_id: CustomerId,
    pub email_hash: [u8; 32],
    pub name_sealed: Vec<u8>,
    pub email_sealed: Vec<u8>,
    pub phone_sealed: Option<Vec<u8>>,
}

impl Core {
    pub(crate) fn seal_contact(&self, contact: &Contact) -> SealedContact {
        let email_hash = self.email_hash.hash([contact.email.as_str().as_bytes()]);
        // The row of a known customer has an id we do not know yet; its hash we do.
        let seal = |column, plain: &str| {
            self.ring.seal(Place { table: "customers", column, row: &email_hash }, plain.as_bytes())
        };
        SealedContact {
            customer_id: CustomerId::generate(),
            name_sealed: seal("name_sealed", contact.name.as_str()),
            email_sealed: seal("email_sealed", contact.email.as_str()),
            phone_sealed: contact.phone.as_ref().map(|phone| seal("phone_sealed", phone.as_str())),
            email_hash,
        }
    }
}
