//! Makes the hashes of customers anew under the first key of the ring, together with the seal.

use teppan_shared::{postgres::DatabaseError, read_error::Corrupted};
use uuid::Uuid;

use super::contact::{ContactRow, StoredContact};
use crate::{customers::Customers, domain::CustomerId};

/// The most customers of one page. Each changed customer is written by a statement of its own.
pub const PAGE_ROWS: i64 = 200;

/// The result of one page.
#[derive(Debug, Default)]
pub struct Rehashed {
    pub done: u64,
    /// Customers that could not be written, and why.
    pub failed: Vec<(Uuid, RehashFault)>,
    /// The id after which the next page begins; `None` at the end of the table.
    pub next: Option<Uuid>,
}

/// Why the hashes of one customer could not be made anew.
#[derive(Debug, thiserror::Error)]
pub enum RehashFault {
    #[error("the contact cannot be read")]
    Corrupted(#[from] Corrupted),
    #[error("another customer has the same e-mail or telephone number: merge the two by MergeCustomers")]
    Duplicate,
    #[error("the customer changed meanwhile: run the command again")]
    Changed,
}

struct Row {
    customer_id: Uuid,
    version: i64,
    email_hash: Option<Vec<u8>>,
    phone_hash: Option<Vec<u8>>,
    contact_sealed: Vec<u8>,
}

impl Customers {
    /// Processes the page of customers after this id.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn rehash_customers(&self, after: Uuid) -> Result<Rehashed, DatabaseError> {
        let read = || sqlx::query_file_as!(Row, "src/customers/rehash.sql", after, PAGE_ROWS);
        let rows = self.database.fetch_all(read).await?;
        let is_full = i64::try_from(rows.len()) == Ok(PAGE_ROWS);
        let next = rows.last().filter(|_| is_full).map(|row| row.customer_id);
        let mut page = Rehashed { next, ..Rehashed::default() };
        for row in rows {
            match self.rehash(&row).await? {
                Ok(true) => page.done += 1,
                Ok(false) => {}
                Err(fault) => page.failed.push((row.customer_id, fault)),
            }
        }
        Ok(page)
    }

    /// Whether the customer had a hash under an older key.
    async fn rehash(&self, row: &Row) -> Result<Result<bool, RehashFault>, DatabaseError> {
        let id = CustomerId(row.customer_id);
        let contact = self.open_contact(&ContactRow {
            customer_id: id,
            version: row.version,
            email_hash: row.email_hash.as_deref(),
            phone_hash: row.phone_hash.as_deref(),
            contact_sealed: &row.contact_sealed,
        });
        let contact = match contact {
            Ok(contact) => contact,
            Err(error) => return Ok(Err(error.into())),
        };
        let (email_hash, phone_hash) = self.newest_hashes(&contact);
        if (&email_hash, &phone_hash) == (&row.email_hash, &row.phone_hash) {
            return Ok(Ok(false));
        }
        let sealed = self.seal_contact(id, row.version, &contact);
        let store = || {
            sqlx::query_file!(
                "src/customers/rehash_store.sql",
                id.0,
                row.version,
                email_hash.as_deref(),
                phone_hash.as_deref(),
                sealed
            )
        };
        match self.database.fetch_optional(store).await {
            Ok(Some(_)) => Ok(Ok(true)),
            Ok(None) => Ok(Err(RehashFault::Changed)),
            Err(error) if error.violates("customers_email_hash_key") || error.violates("customers_phone_hash_key") => {
                Ok(Err(RehashFault::Duplicate))
            }
            Err(error) => Err(error),
        }
    }

    /// The hashes to store for a contact: of its e-mail and of its telephone number.
    pub(crate) fn newest_hashes(&self, contact: &StoredContact) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let email = contact.email.as_deref().map(|email| self.hash_email(email).newest().to_vec());
        let phone = contact.phone.as_deref().map(|phone| self.hash_phone(phone).newest().to_vec());
        (email, phone)
    }
}
