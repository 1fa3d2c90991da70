//! The stored form of a contact.

use teppan_shared::sealing::AssociatedData;

use crate::{
    customers::Customers,
    domain::{Contact, CustomerId, PhoneFault, PhoneRegion, VenueId},
    venues::phone_regions::ReadPhone,
};

/// The row of a new customer, or the update of the customer with the same hash.
pub struct SealedContact {
    /// The id of a new row.
    pub customer_id: CustomerId,
    pub email_hash: [u8; 32],
    pub name_sealed: Vec<u8>,
    pub email_sealed: Vec<u8>,
    pub phone_sealed: Option<Vec<u8>>,
    /// The region with which the telephone number was read; see [`ReadPhone`].
    pub phone_region: Option<String>,
}

impl Customers {
    /// Seals a contact given to a venue. A national telephone number is read with the venue's region, if this process
    /// knows it.
    pub(crate) fn seal_contact(&self, contact: &Contact, venue_id: VenueId) -> SealedContact {
        let email_hash = *self.email_hash.hash([contact.email.as_str().as_bytes()]).newest();
        let read = self.phone_regions.read(venue_id, contact.phone.as_ref());
        SealedContact {
            customer_id: CustomerId::generate(),
            name_sealed: self.seal(&email_hash, "name_sealed", contact.name.as_str()),
            email_sealed: self.seal(&email_hash, "email_sealed", contact.email.as_str()),
            phone_sealed: self.seal_phone(&email_hash, &read),
            phone_region: read.region,
            email_hash,
        }
    }

    /// Reads and seals the telephone number again, with the region that the statement returned for the venue.
    pub(crate) fn reseal_phone(
        &self,
        sealed: &mut SealedContact,
        contact: &Contact,
        venue_id: VenueId,
        region: PhoneRegion,
    ) -> Result<(), PhoneFault> {
        self.phone_regions.learn(venue_id, region);
        let read = ReadPhone::by(region, contact.phone.as_ref())?;
        sealed.phone_sealed = self.seal_phone(&sealed.email_hash, &read);
        sealed.phone_region = read.region;
        Ok(())
    }

    fn seal_phone(&self, email_hash: &[u8; 32], read: &ReadPhone) -> Option<Vec<u8>> {
        read.phone.as_ref().map(|phone| self.seal(email_hash, "phone_sealed", phone.as_str()))
    }

    fn seal(&self, email_hash: &[u8; 32], column: &'static str, plain: &str) -> Vec<u8> {
        // The associated data uses the hash, because the id of an existing customer is not known here.
        self.ring.seal(AssociatedData { table: "customers", column, row: email_hash }, plain.as_bytes())
    }
}
