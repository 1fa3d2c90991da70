//! The rows of customers who were merged into another one.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use teppan_shared::read_error::Corrupted;
use uuid::Uuid;

use super::contact::{ContactRow, StoredContact};
use crate::{bookings::booking::from_hex, customers::Customers, domain::CustomerId};

/// A customer who was merged into another one.
pub struct MergedCustomer {
    pub id: CustomerId,
    /// The name, and the e-mail and the number for which the remaining customer has no room. `None` after erasure.
    pub contact: Option<StoredContact>,
    pub merged_at: DateTime<Utc>,
}

/// A row of `customers` with `merged_into`, read as JSON.
#[derive(Deserialize)]
pub(super) struct MergedRow {
    pub(super) customer_id: Uuid,
    pub(super) version: i64,
    email_hash: Option<String>,
    phone_hash: Option<String>,
    contact_sealed: Option<String>,
    merged_at: DateTime<Utc>,
}

impl MergedRow {
    /// Reads an array of rows; `None`: there are none.
    pub(super) fn read_all(rows: Option<Value>) -> Result<Vec<Self>, Corrupted> {
        let read = |rows| serde_json::from_value(rows).map_err(|_| Corrupted::Column("customers.merged_into"));
        rows.map_or(Ok(Vec::new()), read)
    }
}

impl Customers {
    pub(super) fn open_merged(&self, row: &MergedRow) -> Result<MergedCustomer, Corrupted> {
        let contact = self.contact_of_merged(row)?;
        Ok(MergedCustomer { id: CustomerId(row.customer_id), contact, merged_at: row.merged_at })
    }

    /// `None` after erasure.
    pub(super) fn contact_of_merged(&self, row: &MergedRow) -> Result<Option<StoredContact>, Corrupted> {
        let bytes = |hex: &Option<String>| {
            let read = |hex: &String| from_hex(hex).ok_or(Corrupted::Column("customers"));
            hex.as_ref().map(read).transpose()
        };
        let Some(contact_sealed) = bytes(&row.contact_sealed)? else { return Ok(None) };
        let (email_hash, phone_hash) = (bytes(&row.email_hash)?, bytes(&row.phone_hash)?);
        let contact = self.open_contact(&ContactRow {
            customer_id: CustomerId(row.customer_id),
            version: row.version,
            email_hash: email_hash.as_deref(),
            phone_hash: phone_hash.as_deref(),
            contact_sealed: &contact_sealed,
        })?;
        Ok(Some(contact))
    }
}
