//! The customer of a new booking or waitlist entry, before the statement has found out whether the customer is known.

use teppan_shared::read_error::Corrupted;
use uuid::Uuid;

use super::contact::StoredContact;
use crate::{
    customers::Customers,
    domain::{Contact, CustomerId, PhoneFault, PhoneRegion, VenueId},
    venues::phone_regions::ReadPhone,
};

/// Constraints on which a statement with a draft can lose against a concurrent call: another call made or changed the
/// customer. The customer must be drafted again.
pub const LOST_TO_ANOTHER_CONTACT: [&str; 4] =
    ["customers_email_hash_key", "customers_phone_hash_key", "customers_pkey", "customer_version"];

/// The contact of a call, and the row of the customer if the contact is a new customer's.
///
/// The statement ignores the row if the customer is known, except after [`Customers::add_to_known`].
pub struct DraftCustomer {
    /// As the call gave it; a booking keeps it.
    pub given: StoredContact,
    /// The region with which the telephone number was read; see [`ReadPhone`].
    pub phone_region: Option<String>,
    pub customer_id: CustomerId,
    /// 1 for a new customer. Higher: the row is an existing customer's next version, to which the contact adds.
    pub version: i64,
    /// The hashes of the e-mail under every key of the ring, the newest first. Empty: there is no e-mail.
    pub email_hashes: Vec<Vec<u8>>,
    /// The same of the telephone number.
    pub phone_hashes: Vec<Vec<u8>>,
    pub contact_sealed: Vec<u8>,
}

/// A known customer as a statement returns it, to whom the contact of a call adds an e-mail or a telephone number.
pub struct KnownCustomer {
    pub customer_id: CustomerId,
    pub version: i64,
    pub contact_sealed: Vec<u8>,
}

impl KnownCustomer {
    /// `None` if a column is null.
    pub fn read(customer_id: Option<Uuid>, version: Option<i64>, contact_sealed: Option<Vec<u8>>) -> Option<Self> {
        Some(Self { customer_id: CustomerId(customer_id?), version: version?, contact_sealed: contact_sealed? })
    }
}

impl Customers {
    /// Drafts the customer for a contact given to a venue. A national telephone number is read with the venue's region,
    /// if this process knows it.
    /// Without a contact, the customer is anonymous.
    pub(crate) fn draft(&self, contact: Option<&Contact>, venue_id: VenueId) -> DraftCustomer {
        let phone = contact.and_then(|contact| contact.phone.as_ref());
        self.draft_with(contact, self.phone_regions.read(venue_id, phone))
    }

    /// Reads the telephone number again, with the region that the statement returned for the venue.
    pub(crate) fn redraft(
        &self,
        contact: Option<&Contact>,
        venue_id: VenueId,
        region: PhoneRegion,
    ) -> Result<DraftCustomer, PhoneFault> {
        self.phone_regions.learn(venue_id, region);
        let phone = contact.and_then(|contact| contact.phone.as_ref());
        Ok(self.draft_with(contact, ReadPhone::by(region, phone)?))
    }

    /// Makes the customer's row again after the statement has found that the present one does not fit. It adds to the
    /// known customer what that customer lacks; the row of a new customer loses the number that another customer has.
    ///
    /// # Errors
    /// [`Corrupted`]: the known customer cannot be read.
    pub(crate) fn fit_to_known(
        &self,
        draft: &mut DraftCustomer,
        known: Option<KnownCustomer>,
    ) -> Result<(), Corrupted> {
        let Some(known) = known else {
            draft.phone_hashes.clear();
            let contact = StoredContact { phone: None, ..draft.given.clone() };
            draft.contact_sealed = self.seal_contact(draft.customer_id, draft.version, &contact);
            return Ok(());
        };
        let mut contact = self.open_unhashed(known.customer_id, known.version, &known.contact_sealed)?;
        contact.email = contact.email.or_else(|| draft.given.email.clone());
        contact.phone = contact.phone.or_else(|| draft.given.phone.clone());
        (draft.customer_id, draft.version) = (known.customer_id, known.version + 1);
        draft.contact_sealed = self.seal_contact(draft.customer_id, draft.version, &contact);
        Ok(())
    }

    fn draft_with(&self, contact: Option<&Contact>, read: ReadPhone) -> DraftCustomer {
        let given = StoredContact {
            name: contact.map_or_else(String::new, |contact| contact.name.as_str().to_owned()),
            email: contact.and_then(|contact| contact.email.as_ref()).map(|email| email.as_str().to_owned()),
            phone: read.phone.map(|phone| phone.as_str().to_owned()),
        };
        let (customer_id, version) = (CustomerId::generate(), 1);
        DraftCustomer {
            email_hashes: given.email.as_deref().map_or_else(Vec::new, |email| self.hash_email(email).all()),
            phone_hashes: given.phone.as_deref().map_or_else(Vec::new, |phone| self.hash_phone(phone).all()),
            contact_sealed: self.seal_contact(customer_id, version, &given),
            phone_region: read.region,
            given,
            customer_id,
            version,
        }
    }
}
