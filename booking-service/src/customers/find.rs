use chrono::{DateTime, Utc};
use teppan_shared::{
    read_error::{Corrupted, ReadError},
    sealing::AssociatedData,
};
use uuid::Uuid;

use crate::{
    customers::Customers,
    domain::{CustomerId, Email},
};

/// How a customer is looked up.
pub enum CustomerLookup {
    Id(CustomerId),
    Email(Email),
}

/// The contact data of a customer, as given. Personal data, so it does not implement `Debug`.
pub struct StoredContact {
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
}

/// A customer.
pub struct Customer {
    pub id: CustomerId,
    /// `None` after erasure.
    pub contact: Option<StoredContact>,
    pub booking_count: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub erased_at: Option<DateTime<Utc>>,
}

struct CustomerRow {
    customer_id: Uuid,
    email_hash: Option<Vec<u8>>,
    name_sealed: Option<Vec<u8>>,
    email_sealed: Option<Vec<u8>>,
    phone_sealed: Option<Vec<u8>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    erased_at: Option<DateTime<Utc>>,
    booking_count: i64,
}

impl Customers {
    /// Reads one customer, by id or by e-mail.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find_customer(&self, name: &CustomerLookup) -> Result<Customer, ReadError> {
        let row = match name {
            CustomerLookup::Id(id) => {
                let by_id = || sqlx::query_file_as!(CustomerRow, "src/customers/get.sql", id.0);
                self.database.fetch_optional(by_id).await?
            }
            CustomerLookup::Email(email) => {
                let hashes = self.email_hash.hash([email.as_str().as_bytes()]).all();
                let by_email = || sqlx::query_file_as!(CustomerRow, "src/customers/find.sql", &hashes);
                self.database.fetch_optional(by_email).await?
            }
        };
        let row = row.ok_or(ReadError::NotFound)?;
        Ok(Customer {
            id: CustomerId(row.customer_id),
            contact: self.open_contact(&row)?,
            booking_count: row.booking_count,
            created_at: row.created_at,
            updated_at: row.updated_at,
            erased_at: row.erased_at,
        })
    }

    fn open_contact(&self, row: &CustomerRow) -> Result<Option<StoredContact>, Corrupted> {
        let (Some(hash), Some(name), Some(email)) = (&row.email_hash, &row.name_sealed, &row.email_sealed) else {
            return Ok(None);
        };
        let open = |column, sealed: &[u8]| {
            self.ring.open_text(AssociatedData { table: "customers", column, row: hash }, sealed)
        };
        Ok(Some(StoredContact {
            name: open("name_sealed", name)?,
            email: open("email_sealed", email)?,
            phone: row.phone_sealed.as_deref().map(|sealed| open("phone_sealed", sealed)).transpose()?,
        }))
    }
}
