use serde_json::Value;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    telemetry,
};
use uuid::Uuid;

use super::{
    contact::{ContactRow, StoredContact},
    event::NewCustomerEvent,
    find::{Customer, CustomerLookup},
    merged::MergedRow,
};
use crate::{
    customers::Customers,
    domain::{CustomerId, Email, Name, OutboxDestination, Phone},
};

/// Each attempt after the first follows a concurrent change of the customer, or of another one who takes or gives up the
/// same e-mail or telephone number.
const ATTEMPTS_MAX: usize = 20;

/// Constraints on which the statement fails, and has written nothing, when another call was faster.
const LOST_ON: [&str; 4] =
    ["customers_email_hash_key", "customers_phone_hash_key", "customer_version", "customer_events_pkey"];

/// The fields of a contact to change. `None`: the field stays. `Some(None)`: it is removed.
#[derive(Default)]
pub struct ContactChange {
    pub name: Option<Name>,
    pub email: Option<Option<Email>>,
    pub phone: Option<Option<Phone>>,
}

impl ContactChange {
    fn applied_to(&self, contact: &StoredContact) -> StoredContact {
        let mut contact = contact.clone();
        if let Some(name) = &self.name {
            name.as_str().clone_into(&mut contact.name);
        }
        if let Some(email) = &self.email {
            contact.email = email.as_ref().map(|email| email.as_str().to_owned());
        }
        if let Some(phone) = &self.phone {
            contact.phone = phone.as_ref().map(|phone| phone.as_str().to_owned());
        }
        contact
    }
}

/// A field of a contact by which a customer is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactField {
    Email,
    Phone,
}

/// Why a customer was not changed. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum UpdateCustomerError {
    #[error("there is no such customer")]
    NotFound,
    #[error("the customer was erased")]
    Erased,
    #[error("the customer was merged into another one")]
    Merged(CustomerId),
    #[error("the customer is at another version")]
    Stale,
    #[error("the customer would have neither an e-mail address nor a telephone number")]
    Unreachable,
    #[error("another customer has the {0:?}")]
    Taken(ContactField, CustomerId),
    #[error("the customer changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl From<ReadError> for UpdateCustomerError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

/// The row of `load.sql`.
struct Loaded {
    customer_id: Uuid,
    email_hash: Option<Vec<u8>>,
    phone_hash: Option<Vec<u8>>,
    contact_sealed: Option<Vec<u8>>,
    version: i64,
    merged_into: Option<Uuid>,
    giving: Option<Value>,
    email_of: Option<Uuid>,
    phone_of: Option<Uuid>,
}

impl Loaded {
    /// Who else has the e-mail or the number.
    fn taken(&self) -> Option<UpdateCustomerError> {
        let taken = |field, by: Option<Uuid>| by.map(|id| UpdateCustomerError::Taken(field, CustomerId(id)));
        taken(ContactField::Email, self.email_of).or_else(|| taken(ContactField::Phone, self.phone_of))
    }
}

/// The next versions of merged customers who give up an e-mail or a number to the remaining one.
#[derive(Default)]
struct Giving {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    emails_taken: Vec<bool>,
    phones_taken: Vec<bool>,
    contacts: Vec<Vec<u8>>,
}

impl Customers {
    /// Changes fields of a customer's contact, in three round trips. Bookings keep the contact with which they were made.
    ///
    /// A customer that already is as requested is not changed, also with a stale version.
    ///
    /// # Errors
    /// [`UpdateCustomerError`].
    pub async fn update_customer(
        &self,
        id: CustomerId,
        change: &ContactChange,
        version: Option<i64>,
    ) -> Result<Customer, UpdateCustomerError> {
        for _ in 0..ATTEMPTS_MAX {
            if self.change_contact(id, change, version).await? {
                return Ok(self.find_customer(&CustomerLookup::Id(id)).await?);
            }
        }
        Err(UpdateCustomerError::Contended)
    }

    /// False if another call was faster.
    async fn change_contact(
        &self,
        id: CustomerId,
        change: &ContactChange,
        version: Option<i64>,
    ) -> Result<bool, UpdateCustomerError> {
        let loaded = self.load_for(id, change).await?.ok_or(UpdateCustomerError::NotFound)?;
        if let Some(into) = loaded.merged_into.filter(|_| loaded.contact_sealed.is_some()) {
            return Err(UpdateCustomerError::Merged(CustomerId(into)));
        }
        let contact_sealed = loaded.contact_sealed.as_deref().ok_or(UpdateCustomerError::Erased)?;
        let before = self.open_contact(&ContactRow {
            customer_id: CustomerId(loaded.customer_id),
            version: loaded.version,
            email_hash: loaded.email_hash.as_deref(),
            phone_hash: loaded.phone_hash.as_deref(),
            contact_sealed,
        })?;
        let after = change.applied_to(&before);
        if after == before {
            return Ok(true);
        }
        if version.is_some_and(|version| version != loaded.version) {
            return Err(UpdateCustomerError::Stale);
        }
        if after.email.is_none() && after.phone.is_none() {
            return Err(UpdateCustomerError::Unreachable);
        }
        if let Some(taken) = loaded.taken() {
            return Err(taken);
        }
        let giving = self.give_up(MergedRow::read_all(loaded.giving)?, &after)?;
        self.store_contact(id, loaded.version, &after, &giving).await
    }

    /// A merged customer of this one gives up what this one takes, because each e-mail and number is in one row only.
    fn give_up(&self, rows: Vec<MergedRow>, taken: &StoredContact) -> Result<Giving, Corrupted> {
        let mut giving = Giving::default();
        for row in rows {
            let Some(before) = self.contact_of_merged(&row)? else { continue };
            let after = before.without(taken);
            giving.ids.push(row.customer_id);
            giving.versions.push(row.version + 1);
            giving.emails_taken.push(after.email != before.email);
            giving.phones_taken.push(after.phone != before.phone);
            giving.contacts.push(self.seal_contact(CustomerId(row.customer_id), row.version + 1, &after));
        }
        Ok(giving)
    }

    async fn load_for(&self, id: CustomerId, change: &ContactChange) -> Result<Option<Loaded>, DatabaseError> {
        let (email, phone) = (change.email.as_ref().and_then(Option::as_ref), change.phone.as_ref());
        let emails = email.map_or_else(Vec::new, |email| self.hash_email(email.as_str()).all());
        let phones =
            phone.and_then(Option::as_ref).map_or_else(Vec::new, |phone| self.hash_phone(phone.as_str()).all());
        let load = || sqlx::query_file_as!(Loaded, "src/customers/load.sql", id.0, &emails, &phones);
        self.database.fetch_optional(load).await
    }

    async fn store_contact(
        &self,
        id: CustomerId,
        version: i64,
        contact: &StoredContact,
        giving: &Giving,
    ) -> Result<bool, UpdateCustomerError> {
        let (email_hash, phone_hash) = self.newest_hashes(contact);
        let sealed = self.seal_contact(id, version + 1, contact);
        let now = self.clock.now();
        let (event, traceparent) = (NewCustomerEvent::updated(id, now), telemetry::current_traceparent());
        let destinations = self.outbox.destinations_of_events();
        let store = || {
            sqlx::query_file!(
                "src/customers/update.sql",
                id.0,
                version,
                email_hash.as_deref(),
                phone_hash.as_deref(),
                sealed,
                now,
                event.id.0,
                event.kind,
                event.data,
                traceparent.as_deref(),
                &destinations,
                &giving.ids,
                &giving.versions,
                &giving.emails_taken,
                &giving.phones_taken,
                &giving.contacts,
            )
        };
        match self.database.fetch_optional(store).await {
            Ok(stored) => {
                self.outbox.nudge(OutboxDestination::EventStream);
                Ok(stored.is_some())
            }
            // Another call was faster, or an earlier run of this one, whose answer was lost.
            Err(error) if LOST_ON.iter().any(|constraint| error.violates(constraint)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
