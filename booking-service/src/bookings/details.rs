//! The personal data of a booking, which is sealed as one value.

use serde::{Deserialize, Serialize};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing, OpenError},
};

use crate::{
    customers::contact::StoredContact,
    domain::{BookingId, SpecialRequests},
};

/// The contact with which a booking was made, and its special requests. Personal data, so it does not implement
/// `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingDetails {
    pub contact: StoredContact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_requests: Option<String>,
}

impl BookingDetails {
    pub fn new(contact: &StoredContact, special_requests: Option<&SpecialRequests>) -> Self {
        let special_requests = special_requests.map(|text| text.as_str().to_owned());
        Self { contact: contact.clone(), special_requests }
    }

    /// Seals the details for the row of a booking, or for the waitlist entry whose offer will create it.
    pub fn seal(&self, ring: &KeyRing, booking_id: BookingId) -> Vec<u8> {
        let plain = serde_json::to_vec(self).expect("texts");
        ring.seal(associated_data(&booking_id), &plain)
    }

    /// Opens the details of this booking.
    ///
    /// # Errors
    /// [`Corrupted`].
    pub fn open(ring: &KeyRing, booking_id: BookingId, sealed: &[u8]) -> Result<Self, Corrupted> {
        let plain = ring.open(associated_data(&booking_id), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| OpenError::Malformed.into())
    }
}

fn associated_data(booking_id: &BookingId) -> AssociatedData<'_> {
    AssociatedData { table: "bookings", column: "details_sealed", row: booking_id.0.as_bytes() }
}
