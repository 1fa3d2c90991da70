//! The contact in a customer's row, which is sealed as one value.

use serde::{Deserialize, Serialize};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, Hashes, OpenError},
};

use crate::{customers::Customers, domain::CustomerId};

/// The contact data of a customer, in normal form; at least an e-mail address or a telephone number, except of
/// walk-ins. Personal data, so it does not implement `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredContact {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// In E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl StoredContact {
    /// Whether nothing was given, as walk-ins may do.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.email.is_none() && self.phone.is_none()
    }

    /// This contact without the e-mail and the number that the other one has too.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self {
            name: self.name.clone(),
            email: self.email.clone().filter(|email| Some(email) != other.email.as_ref()),
            phone: self.phone.clone().filter(|phone| Some(phone) != other.phone.as_ref()),
        }
    }
}

/// The columns of a customer's row that hold the contact.
pub struct ContactRow<'a> {
    pub customer_id: CustomerId,
    pub version: i64,
    pub email_hash: Option<&'a [u8]>,
    pub phone_hash: Option<&'a [u8]>,
    pub contact_sealed: &'a [u8],
}

impl Customers {
    /// The hashes by which the customer with this e-mail address is found.
    pub(crate) fn hash_email(&self, email: &str) -> Hashes {
        self.email_hash.hash([email.as_bytes()])
    }

    /// The hashes by which the customer with this telephone number, in E.164, is found.
    pub(crate) fn hash_phone(&self, phone: &str) -> Hashes {
        self.phone_hash.hash([phone.as_bytes()])
    }

    /// Seals the contact for this version of a customer's row.
    pub(crate) fn seal_contact(&self, id: CustomerId, version: i64, contact: &StoredContact) -> Vec<u8> {
        let plain = serde_json::to_vec(contact).expect("texts");
        self.ring.seal(about(&row(id, version)), &plain)
    }

    /// Opens the contact of a row, and compares the hashes with it.
    ///
    /// # Errors
    /// [`Corrupted`], also if a hash is not that of the contact.
    pub(crate) fn open_contact(&self, of: &ContactRow<'_>) -> Result<StoredContact, Corrupted> {
        let contact = self.open_unhashed(of.customer_id, of.version, of.contact_sealed)?;
        let matches = |hash: Option<&[u8]>, made: Option<Hashes>| match (hash, made) {
            (Some(hash), Some(made)) => made.matches(hash),
            (None, None) => true,
            _ => false,
        };
        if !matches(of.email_hash, contact.email.as_deref().map(|email| self.hash_email(email))) {
            return Err(Corrupted::Column("customers.email_hash"));
        }
        if !matches(of.phone_hash, contact.phone.as_deref().map(|phone| self.hash_phone(phone))) {
            return Err(Corrupted::Column("customers.phone_hash"));
        }
        Ok(contact)
    }

    /// Opens the contact of a row without comparing the hashes.
    pub(crate) fn open_unhashed(
        &self,
        id: CustomerId,
        version: i64,
        sealed: &[u8],
    ) -> Result<StoredContact, Corrupted> {
        let plain = self.ring.open(about(&row(id, version)), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| OpenError::Malformed.into())
    }
}

/// The row of the associated data: the id and the version. `app::SEALED_TABLES` has the same as SQL.
fn row(id: CustomerId, version: i64) -> Vec<u8> {
    [id.0.as_bytes().as_slice(), &version.to_be_bytes()].concat()
}

fn about(row: &[u8]) -> AssociatedData<'_> {
    AssociatedData { table: "customers", column: "contact_sealed", row }
}
