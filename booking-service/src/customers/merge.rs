use std::sync::Arc;

use teppan_shared::{
    postgres::DatabaseError,
    read_error::{Corrupted, ReadError},
    telemetry,
};
use uuid::Uuid;

use super::{
    contact::{ContactRow, StoredContact},
    find::{Customer, CustomerLookup},
    merged::MergedCustomer,
};
use crate::{
    bookings::change::is_overtaken,
    customers::Customers,
    domain::{CustomerId, EventId, OutboxDestination},
    event_stream::stream::LiveStreams,
};

/// Each attempt after the first follows a concurrent change of one of the two customers, or a deadlock with an offer.
const ATTEMPTS_MAX: usize = 20;
/// The most bookings that one transaction moves, so that it does not delay the readers of events, who wait for the oldest
/// transaction that still runs.
const STEP_MAX: i32 = 1_000;
/// The most customers who are merged into one. Every read of a customer returns all of them.
pub const MERGED_MAX: i64 = 100;

/// Merges of customers.
pub struct CustomerMerges {
    pub customers: Arc<Customers>,
    pub live: Arc<LiveStreams>,
}

/// A customer to merge, and the version that the caller has read.
#[derive(Debug, Clone, Copy)]
pub struct MergeSide {
    pub id: CustomerId,
    /// `None`: not checked.
    pub version: Option<i64>,
}

/// Two different customers who are one person.
#[derive(Debug, Clone, Copy)]
pub struct Merge {
    pub remaining: MergeSide,
    pub duplicate: MergeSide,
    /// Decide and answer, but write nothing.
    pub validate_only: bool,
}

/// Why customers were not merged. After a [`DatabaseError`] the outcome may be unknown, and bookings of the duplicate may
/// have moved. Bookings of a large duplicate move in steps, and a change between two steps can end the call with a refusal
/// after the first ones have moved. A repeated call continues.
#[derive(Debug, thiserror::Error)]
pub enum MergeCustomersError {
    #[error("there is no customer {0}")]
    NotFound(CustomerId),
    #[error("the customer {0} was erased")]
    Erased(CustomerId),
    #[error("the customer {customer} was merged into another one")]
    Merged { customer: CustomerId, into: CustomerId },
    #[error("a customer is at another version")]
    Stale,
    #[error("both customers have an open offer for one slot; the booking of one is {0}")]
    OfferedTwice(Uuid),
    #[error("too many customers would be merged into one")]
    TooMany,
    #[error("a customer changed during every attempt")]
    Contended,
    #[error("what the database answered is corrupted")]
    Corrupted(#[from] Corrupted),
    #[error("the database gave no answer")]
    Database(#[from] DatabaseError),
}

/// The row of `merge_load.sql`.
struct Loaded {
    customer_id: Uuid,
    email_hash: Option<Vec<u8>>,
    phone_hash: Option<Vec<u8>>,
    contact_sealed: Option<Vec<u8>>,
    version: i64,
    merged_into: Option<Uuid>,
    merged_count: i64,
    offered_twice: Option<Uuid>,
}

/// What identifies a customer: the contact, with the hash of each e-mail and number.
#[derive(Clone)]
struct Identity {
    contact: StoredContact,
    email_hash: Option<Vec<u8>>,
    phone_hash: Option<Vec<u8>>,
}

impl Identity {
    /// The two after the merge. The remaining customer takes what it lacks; the duplicate keeps what remains, and finds the
    /// remaining customer by it.
    fn unite(remaining: &Self, duplicate: &Self) -> (Self, Self) {
        let mut after = remaining.clone();
        if after.contact.email.is_none() {
            after.contact.email.clone_from(&duplicate.contact.email);
            after.email_hash.clone_from(&duplicate.email_hash);
        }
        if after.contact.phone.is_none() {
            after.contact.phone.clone_from(&duplicate.contact.phone);
            after.phone_hash.clone_from(&duplicate.phone_hash);
        }
        let contact = duplicate.contact.without(&after.contact);
        let left = Self {
            email_hash: contact.email.as_ref().and(duplicate.email_hash.clone()),
            phone_hash: contact.phone.as_ref().and(duplicate.phone_hash.clone()),
            contact,
        };
        (after, left)
    }
}

/// Whether there is anything to merge.
fn decide(merge: &Merge, remaining: &Loaded, duplicate: &Loaded) -> Result<bool, MergeCustomersError> {
    let sides = [(merge.remaining, remaining), (merge.duplicate, duplicate)];
    if duplicate.merged_into == Some(remaining.customer_id) {
        return Ok(false);
    }
    for (side, loaded) in sides {
        if let Some(into) = loaded.merged_into {
            return Err(MergeCustomersError::Merged { customer: side.id, into: CustomerId(into) });
        }
        if loaded.contact_sealed.is_none() {
            return Err(MergeCustomersError::Erased(side.id));
        }
    }
    if sides.iter().any(|(side, loaded)| side.version.is_some_and(|version| version != loaded.version)) {
        return Err(MergeCustomersError::Stale);
    }
    if remaining.merged_count + duplicate.merged_count >= MERGED_MAX {
        return Err(MergeCustomersError::TooMany);
    }
    remaining.offered_twice.map_or(Ok(true), |booking_id| Err(MergeCustomersError::OfferedTwice(booking_id)))
}

impl CustomerMerges {
    /// Merges two customers who are one person: the bookings and waitlist entries of the duplicate move to the remaining
    /// customer, who is found by both contacts from then on. Returns the remaining customer.
    ///
    /// Customers who are merged already stay as they are. A call that was interrupted is completed by a second one.
    ///
    /// # Errors
    /// [`MergeCustomersError`].
    pub async fn merge_customers(&self, merge: &Merge) -> Result<Customer, MergeCustomersError> {
        let event_id = EventId::generate();
        for _ in 0..ATTEMPTS_MAX {
            let (remaining, duplicate) = self.customers.load_both(merge).await?;
            if !decide(merge, &remaining, &duplicate)? {
                return self.read(merge.remaining.id).await;
            }
            let before = (self.customers.identity_of(&remaining)?, self.customers.identity_of(&duplicate)?);
            let after = Identity::unite(&before.0, &before.1);
            if merge.validate_only {
                return self.would_merge(merge, after).await;
            }
            let read = [(merge.remaining.id, remaining.version), (merge.duplicate.id, duplicate.version)];
            if self.move_all(read, &[after.0, after.1], event_id).await? {
                return self.read(merge.remaining.id).await;
            }
        }
        Err(MergeCustomersError::Contended)
    }

    async fn read(&self, id: CustomerId) -> Result<Customer, MergeCustomersError> {
        self.customers.find_customer(&CustomerLookup::Id(id)).await.map_err(|error| match error {
            ReadError::NotFound => MergeCustomersError::NotFound(id),
            ReadError::Corrupted(error) => MergeCustomersError::Corrupted(error),
            ReadError::Database(error) => MergeCustomersError::Database(error),
        })
    }

    /// The remaining customer as it would be, at the present version.
    async fn would_merge(
        &self,
        merge: &Merge,
        (remaining, duplicate): (Identity, Identity),
    ) -> Result<Customer, MergeCustomersError> {
        let (mut customer, merged) = (self.read(merge.remaining.id).await?, self.read(merge.duplicate.id).await?);
        customer.contact = Some(remaining.contact);
        customer.booking_count += merged.booking_count;
        customer.merged.extend(merged.merged);
        let (id, merged_at) = (merge.duplicate.id, self.customers.clock.now());
        customer.merged.push(MergedCustomer { id, contact: Some(duplicate.contact), merged_at });
        Ok(customer)
    }

    /// Moves everything, in as many steps as needed, of customers at these versions. False if a concurrent call was
    /// faster: load and decide again.
    async fn move_all(
        &self,
        read: [(CustomerId, i64); 2],
        after: &[Identity; 2],
        event_id: EventId,
    ) -> Result<bool, MergeCustomersError> {
        let customers = &self.customers;
        let (ids, versions) = (read.map(|(id, _)| id.0), read.map(|(_, version)| version));
        let next_version = 1 + versions[0].max(versions[1]);
        let email_hashes = after.each_ref().map(|it| it.email_hash.clone());
        let phone_hashes = after.each_ref().map(|it| it.phone_hash.clone());
        let seal =
            |((id, _), it): (&(CustomerId, i64), &Identity)| customers.seal_contact(*id, next_version, &it.contact);
        let contacts: Vec<_> = read.iter().zip(after).map(seal).collect();
        let (traceparent, destinations) = (telemetry::current_traceparent(), customers.outbox.destinations_of_events());
        loop {
            let now = customers.clock.now();
            let step = || {
                sqlx::query_file!(
                    "src/customers/merge.sql",
                    &ids,
                    &versions,
                    next_version,
                    &email_hashes as &[Option<Vec<u8>>],
                    &phone_hashes as &[Option<Vec<u8>>],
                    &contacts,
                    now,
                    event_id.0,
                    traceparent.as_deref(),
                    &destinations,
                    STEP_MAX,
                )
            };
            let moved = customers.database.fetch_one(step).await;
            self.live.nudge();
            customers.outbox.nudge(OutboxDestination::EventStream);
            customers.outbox.nudge(OutboxDestination::ConversationService);
            match moved {
                Ok(row) => match row.outcome.as_str() {
                    "merged" => return Ok(true),
                    "more" => {}
                    // The next attempt finds out why.
                    "stale" | "offered" => return Ok(false),
                    _ => return Err(Corrupted::Column("merge.outcome").into()),
                },
                // An entry of one of the two was offered meanwhile.
                Err(error) if is_overtaken(&error) || error.violates("waitlist_entries_wait_once") => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Customers {
    async fn load_both(&self, merge: &Merge) -> Result<(Loaded, Loaded), MergeCustomersError> {
        let (remaining, duplicate) = (merge.remaining.id, merge.duplicate.id);
        let load = || sqlx::query_file_as!(Loaded, "src/customers/merge_load.sql", remaining.0, duplicate.0);
        let rows = self.database.fetch_all(load).await?;
        let (mut remaining_rows, mut others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.customer_id == remaining.0);
        let remaining = remaining_rows.pop().ok_or(MergeCustomersError::NotFound(remaining))?;
        Ok((remaining, others.pop().ok_or(MergeCustomersError::NotFound(duplicate))?))
    }

    fn identity_of(&self, row: &Loaded) -> Result<Identity, Corrupted> {
        let contact = self.open_contact(&ContactRow {
            customer_id: CustomerId(row.customer_id),
            version: row.version,
            email_hash: row.email_hash.as_deref(),
            phone_hash: row.phone_hash.as_deref(),
            contact_sealed: row.contact_sealed.as_deref().unwrap_or_default(),
        })?;
        Ok(Identity { contact, email_hash: row.email_hash.clone(), phone_hash: row.phone_hash.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(email: Option<&str>, phone: Option<&str>) -> Identity {
        let [email, phone] = [email, phone].map(|text| text.map(str::to_owned));
        let hash = |text: &Option<String>| text.clone().map(String::into_bytes);
        let (email_hash, phone_hash) = (hash(&email), hash(&phone));
        Identity { contact: StoredContact { name: "Ada".to_owned(), email, phone }, email_hash, phone_hash }
    }

    #[test]
    fn the_remaining_customer_takes_what_it_lacks_and_nothing_is_lost() {
        let cases = [
            ((Some("e"), None), (None, Some("p")), (Some("e"), Some("p")), (None, None)),
            ((Some("e"), Some("p")), (Some("f"), Some("q")), (Some("e"), Some("p")), (Some("f"), Some("q"))),
            ((None, Some("p")), (Some("f"), Some("q")), (Some("f"), Some("p")), (None, Some("q"))),
            // Both have the same number: two replicas had different keys.
            ((Some("e"), Some("p")), (None, Some("p")), (Some("e"), Some("p")), (None, None)),
        ];
        for (remaining, duplicate, expected, expected_left) in cases {
            let (after, left) =
                Identity::unite(&identity(remaining.0, remaining.1), &identity(duplicate.0, duplicate.1));
            for (it, (email, phone)) in [(after, expected), (left, expected_left)] {
                assert_eq!((it.contact.email.as_deref(), it.contact.phone.as_deref()), (email, phone));
                assert_eq!(it.email_hash, email.map(|text| text.as_bytes().to_vec()));
                assert_eq!(it.phone_hash, phone.map(|text| text.as_bytes().to_vec()));
            }
        }
    }
}
