use chrono::{DateTime, Utc};
use serde::Deserialize;
use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    telemetry,
};

use super::{
    event::NewCustomerEvent,
    find::{Customer, CustomerLookup},
};
use crate::{
    customers::Customers,
    domain::{ConsentChannel, ConsentKey, ConsentPurpose, CustomerId, NewConsent, OutboxDestination, Source},
};

/// Each attempt after the first follows a concurrent change of the customer.
const ATTEMPTS_MAX: usize = 20;

/// A row of `customer_consents`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredConsent {
    pub purpose: ConsentPurpose,
    pub channel: ConsentChannel,
    pub granted: bool,
    pub source: String,
    pub changed_at: DateTime<Utc>,
}

/// Why a consent was not recorded. Nothing was written; after a [`DatabaseError`] the outcome may be unknown.
#[derive(Debug, thiserror::Error)]
pub enum SetConsentError {
    #[error("there is no such customer")]
    NotFound,
    #[error("the customer was erased")]
    Erased,
    #[error("the customer was merged into another one")]
    Merged(CustomerId),
    #[error("the customer is at another version")]
    Stale,
    #[error("the customer changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

impl From<ReadError> for SetConsentError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound => Self::NotFound,
            ReadError::Corrupted(error) => Self::Corrupted(error),
            ReadError::Database(error) => Self::Database(error),
        }
    }
}

impl Customers {
    /// Records a consent, in three round trips. `by` is the name of the caller's credential.
    ///
    /// A customer that already has this record is not changed, also with a stale version.
    ///
    /// # Errors
    /// [`SetConsentError`].
    pub async fn set_consent(
        &self,
        id: CustomerId,
        new: &NewConsent,
        version: Option<i64>,
        by: &str,
    ) -> Result<Customer, SetConsentError> {
        for _ in 0..ATTEMPTS_MAX {
            let customer = self.find_customer(&CustomerLookup::Id(id)).await?;
            if customer.contact.is_none() {
                return Err(SetConsentError::Erased);
            }
            if let Some(into) = customer.merged_into {
                return Err(SetConsentError::Merged(into));
            }
            let recorded = customer.consents.iter().map(|it| (it.key(), it.granted));
            if new.is_reached(recorded) {
                return Ok(customer);
            }
            if version.is_some_and(|version| version != customer.version) {
                return Err(SetConsentError::Stale);
            }
            if self.store_consent(&customer, new, by).await? {
                return Ok(self.find_customer(&CustomerLookup::Id(id)).await?);
            }
        }
        Err(SetConsentError::Contended)
    }

    /// False if another call was faster, or an earlier run of this one, whose answer was lost.
    async fn store_consent(&self, customer: &Customer, new: &NewConsent, by: &str) -> Result<bool, SetConsentError> {
        let Some(contact) = &customer.contact else { return Err(SetConsentError::Erased) };
        // The seal is bound to the version, which rises with every change of the row.
        let sealed = self.seal_contact(customer.id, customer.version + 1, contact);
        let now = self.clock.now();
        let event = NewCustomerEvent::consent_changed(customer.id, customer.version + 1, new, now);
        let (traceparent, destinations) = (telemetry::current_traceparent(), self.outbox.destinations_of_events());
        let mut delivered_for = Vec::new();
        if new.key.purpose.is_of_messages() {
            // Follow-ups keep the id by which they were scheduled, so the consent counts for every id of the customer.
            delivered_for.push(customer.id.to_string());
            delivered_for.extend(customer.merged.iter().map(|merged| merged.id.to_string()));
        }
        let (purpose, channel): (&str, &str) = (new.key.purpose.into(), new.key.channel.into());
        let source = new.source.as_ref().map_or("", Source::as_str);
        let store = || {
            sqlx::query_file!(
                "src/customers/consent.sql",
                customer.id.0,
                customer.version,
                sealed,
                now,
                event.id.0,
                event.kind,
                event.data,
                traceparent.as_deref(),
                &destinations,
                purpose,
                channel,
                new.granted,
                source,
                by,
                &delivered_for,
            )
        };
        let stored = self.database.fetch_optional(store).await?;
        self.outbox.nudge(OutboxDestination::EventStream);
        self.outbox.nudge(OutboxDestination::ConversationService);
        Ok(stored.is_some())
    }
}

impl StoredConsent {
    fn key(&self) -> ConsentKey {
        ConsentKey { purpose: self.purpose, channel: self.channel }
    }
}
