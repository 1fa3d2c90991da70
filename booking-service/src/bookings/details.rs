//! The personal data of a booking, which is sealed as one value.

use serde::{Deserialize, Serialize};
use teppan_shared::{
    read_error::Corrupted,
    sealing::{AssociatedData, KeyRing, OpenError},
};

use crate::{
    customers::contact::StoredContact,
    domain::{BookingId, SpecialRequests, StripeIntentId},
};

/// The contact of a booking, and what was said about it. Personal data, so it does not implement `Debug`.
///
/// A field that is added later has a default: rows without it open, and an earlier version, which ignores it, opens
/// rows that have it. Only UpdateBooking and `rotate-keys`, which keeps every byte, seal these details again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingDetails {
    pub contact: StoredContact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_requests: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venue_notes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party_notes: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The intent of Stripe with which a fee can be collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe_intent_id: Option<String>,
}

impl BookingDetails {
    pub fn new(contact: &StoredContact, special_requests: Option<&SpecialRequests>) -> Self {
        let special_requests = special_requests.map(|text| text.as_str().to_owned());
        Self {
            contact: contact.clone(),
            special_requests,
            venue_notes: None,
            party_notes: None,
            tags: Vec::new(),
            stripe_intent_id: None,
        }
    }

    #[must_use]
    pub fn with_intent(self, stripe_intent_id: Option<&StripeIntentId>) -> Self {
        Self { stripe_intent_id: stripe_intent_id.map(|id| id.as_str().to_owned()), ..self }
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

#[cfg(test)]
mod tests {
    use teppan_shared::keys::Keys;

    use super::*;

    #[test]
    fn details_that_were_sealed_before_notes_and_tags_existed_open_and_stay_the_same_bytes() {
        let (ring, id) = (Keys::random().ring(), BookingId::generate());
        let plain = br#"{"contact":{"name":"Ada","email":"ada@example.org"},"special_requests":"Window"}"#;
        let sealed = ring.seal(associated_data(&id), plain);
        let details = BookingDetails::open(&ring, id, &sealed).expect("they open");
        assert_eq!((details.contact.name.as_str(), details.special_requests.as_deref()), ("Ada", Some("Window")));
        assert!(details.venue_notes.is_none() && details.party_notes.is_none() && details.tags.is_empty());
        assert!(details.stripe_intent_id.is_none());
        assert_eq!(serde_json::to_vec(&details).expect("JSON"), plain);
    }
}
