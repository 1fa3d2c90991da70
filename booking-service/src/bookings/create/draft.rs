//! What is known of a new booking before a statement runs.

use chrono::{DateTime, Utc};
use teppan_shared::{fingerprint::optional, sealing::Hashes, telemetry};

use crate::{
    bookings::{Bookings, details::BookingDetails},
    customers::draft::DraftCustomer,
    domain::{
        AreaKey, BookingId, ConfirmationCode, ConversationId, Email, EventId, GivenPhone, NewBooking, SlotKey, Source,
        SpecialRequests,
    },
};

/// A booking before it is written: ids, ciphertexts, hashes, and the parts of the request that are stored in clear.
pub struct Draft {
    pub key: String,
    pub fingerprint: Hashes,
    pub slot: SlotKey,
    pub party_size: i32,
    pub expected_total_cents: Option<i64>,
    pub customer: DraftCustomer,
    pub booking_id: BookingId,
    pub confirmation_code: ConfirmationCode,
    /// Empty if there is none.
    pub conversation_id: String,
    pub event_id: EventId,
    pub details_sealed: Vec<u8>,
    pub traceparent: Option<String>,
    /// Empty if there is none.
    pub source: String,
    /// The area in which the party wants to sit; empty for any.
    pub area: String,
    /// Whether the customer may have another booking at that time.
    pub allows_duplicate: bool,
    pub is_walk_in: bool,
    pub destinations: Vec<String>,
    pub now: DateTime<Utc>,
}

impl Bookings {
    pub(super) fn draft(&self, new: &NewBooking) -> Draft {
        let booking_id = BookingId::generate();
        let customer = self.customers.draft(new.contact.as_ref(), new.slot.venue_id);
        Draft {
            key: new.key.as_str().to_owned(),
            fingerprint: self.fingerprint_of(new),
            slot: new.slot,
            party_size: new.party_size.get(),
            expected_total_cents: new.expected_total_cents,
            details_sealed: self.seal_details(new, booking_id, &customer),
            customer,
            confirmation_code: ConfirmationCode::generate(),
            conversation_id: new.conversation_id.as_ref().map_or("", ConversationId::as_str).to_owned(),
            event_id: EventId::generate(),
            booking_id,
            traceparent: telemetry::current_traceparent(),
            source: new.source.as_ref().map_or("", Source::as_str).to_owned(),
            area: new.area.as_ref().map_or("", AreaKey::as_str).to_owned(),
            allows_duplicate: new.allows_duplicate,
            is_walk_in: new.is_walk_in(),
            destinations: self.destinations(new.conversation_id.is_some()),
            now: self.clock.now(),
        }
    }

    pub(super) fn seal_details(&self, new: &NewBooking, booking_id: BookingId, customer: &DraftCustomer) -> Vec<u8> {
        details_of(new, customer).seal(&self.ring, booking_id)
    }

    /// The keyed hash of the normalised request without its key.
    fn fingerprint_of(&self, new: &NewBooking) -> Hashes {
        let contact = new.contact.as_ref();
        let expected_total = new.expected_total_cents.map(|cents| cents.to_string());
        let fields = [
            b"CreateBooking".to_vec(),
            new.slot.venue_id.0.as_bytes().to_vec(),
            new.slot.date.to_string().into_bytes(),
            new.slot.start_time.to_string().into_bytes(),
            new.party_size.get().to_be_bytes().to_vec(),
            contact.map_or_else(Vec::new, |contact| contact.name.as_str().as_bytes().to_vec()),
            optional(contact.and_then(|contact| contact.email.as_ref()).map(Email::as_str)),
            optional(contact.and_then(|contact| contact.phone.as_ref()).map(GivenPhone::canonical)),
            optional(new.conversation_id.as_ref().map(ConversationId::as_str)),
            optional(new.special_requests.as_ref().map(SpecialRequests::as_str)),
            optional(expected_total),
            optional(new.source.as_ref().map(Source::as_str)),
        ];
        // Left out when they are not given, as before there were such fields: a call may be repeated after an upgrade.
        let area = new.area.as_ref().map(|area| optional(Some(area.as_str())));
        let allows_duplicate = new.allows_duplicate.then(|| b"allow_duplicate".to_vec());
        let intent = new.stripe_intent_id.as_ref().map(|id| [b"stripe_intent_id", id.as_str().as_bytes()].concat());
        self.fingerprint.hash(fields.iter().chain(&area).chain(&allows_duplicate).chain(&intent).map(Vec::as_slice))
    }
}

/// The sealed part of a new booking.
pub fn details_of(new: &NewBooking, customer: &DraftCustomer) -> BookingDetails {
    BookingDetails::new(&customer.given, new.special_requests.as_ref()).with_intent(new.stripe_intent_id.as_ref())
}
