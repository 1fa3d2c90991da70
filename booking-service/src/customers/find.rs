use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use teppan_shared::{postgres::DatabaseError, read_error::ReadError};
use uuid::Uuid;

use super::{
    consent::StoredConsent,
    contact::{ContactRow, StoredContact},
    merged::{MergedCustomer, MergedRow},
};
use crate::{
    customers::Customers,
    domain::{CustomerId, Email, Phone},
};

/// How a customer is looked up.
pub enum CustomerLookup {
    Id(CustomerId),
    Email(Email),
    Phone(Phone),
}

/// A customer.
pub struct Customer {
    pub id: CustomerId,
    /// `None` after erasure.
    pub contact: Option<StoredContact>,
    pub version: i64,
    /// By purpose and channel. Empty after erasure.
    pub consents: Vec<StoredConsent>,
    pub booking_count: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub erased_at: Option<DateTime<Utc>>,
    /// The remaining customer, if this one was merged into it.
    pub merged_into: Option<CustomerId>,
    /// The customers who were merged into this one, in the order of the merges.
    pub merged: Vec<MergedCustomer>,
}

struct CustomerRow {
    customer_id: Uuid,
    email_hash: Option<Vec<u8>>,
    phone_hash: Option<Vec<u8>>,
    contact_sealed: Option<Vec<u8>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    erased_at: Option<DateTime<Utc>>,
    merged_into: Option<Uuid>,
    merged: Option<Value>,
    booking_count: i64,
    consents: Option<Json<Vec<StoredConsent>>>,
}

impl Customers {
    /// Reads one customer, by id, e-mail or telephone number. The e-mail or the number of a merged customer finds the
    /// remaining one; its id finds the merged one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find_customer(&self, name: &CustomerLookup) -> Result<Customer, ReadError> {
        let row = match name {
            CustomerLookup::Id(id) => return self.read_customer(*id, true).await,
            CustomerLookup::Email(email) => self.find_by(self.hash_email(email.as_str()).all(), Vec::new()).await?,
            CustomerLookup::Phone(phone) => self.find_by(Vec::new(), self.hash_phone(phone.as_str()).all()).await?,
        };
        self.open_customer(row.ok_or(ReadError::NotFound)?)
    }

    /// Reads a customer by id. Without `counted`, `booking_count` is 0.
    pub(super) async fn read_customer(&self, id: CustomerId, counted: bool) -> Result<Customer, ReadError> {
        let by_id = || sqlx::query_file_as!(CustomerRow, "src/customers/get.sql", id.0, counted);
        let row = self.database.fetch_optional(by_id).await?;
        self.open_customer(row.ok_or(ReadError::NotFound)?)
    }

    fn open_customer(&self, row: CustomerRow) -> Result<Customer, ReadError> {
        let contact = row.contact_sealed.as_deref().map(|contact_sealed| {
            self.open_contact(&ContactRow {
                customer_id: CustomerId(row.customer_id),
                version: row.version,
                email_hash: row.email_hash.as_deref(),
                phone_hash: row.phone_hash.as_deref(),
                contact_sealed,
            })
        });
        let merged = MergedRow::read_all(row.merged)?;
        let merged = merged.iter().map(|row| self.open_merged(row));
        Ok(Customer {
            id: CustomerId(row.customer_id),
            contact: contact.transpose()?,
            version: row.version,
            consents: row.consents.map_or_else(Vec::new, |Json(consents)| consents),
            booking_count: row.booking_count,
            created_at: row.created_at,
            updated_at: row.updated_at,
            erased_at: row.erased_at,
            merged_into: row.merged_into.map(CustomerId),
            merged: merged.collect::<Result<_, _>>()?,
        })
    }

    async fn find_by(&self, emails: Vec<Vec<u8>>, phones: Vec<Vec<u8>>) -> Result<Option<CustomerRow>, DatabaseError> {
        let find = || sqlx::query_file_as!(CustomerRow, "src/customers/find.sql", &emails, &phones);
        self.database.fetch_optional(find).await
    }
}
